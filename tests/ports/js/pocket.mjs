// "The pocket index" of shared/README.md: read a file or a delta, and search what it leads to.

import { createHash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { inflateSync } from "node:zlib";
import { decode } from "./codec.mjs";
import { Float, unpack } from "./msgpack.mjs";
import { dot } from "./numbers.mjs";
import { Refused } from "./protocol.mjs";

const HEADER_BYTES = 48;
const MAX_FILE_BYTES = 4 * 1024 * 1024;
const MAX_CELLS_BYTES = 8 * 1024 * 1024;
const MAX_ROWS = 40_000;
const SAME_IN_A_DELTA = ["pairing_id", "catalogue", "tenant", "filter_keys", "code_size"];

/**
 * Return the state that a file's bytes lead to, a delta's from `base`: {fields, rows, digest}, a row {pk, code, cells}.
 * Throws Refused.
 */
export function readPocket(data, base, pairingId) {
  let state;
  try {
    const [format, body] = bodyOf(data);
    state = stateOf(unpack(body), format, base);
  } catch (error) {
    throw new Refused("E_POCKET_UNUSABLE", error.message);
  }
  if (!Buffer.from(state.fields.get("pairing_id")).equals(pairingId)) throw new Refused("E_VERSION_MISMATCH", "another pairing");
  return state;
}

function bodyOf(data) {
  const header = Buffer.from(data.buffer, data.byteOffset, data.length);
  const body = header.subarray(HEADER_BYTES);
  expect(data.length <= MAX_FILE_BYTES && header.subarray(0, 8).toString("latin1") === "SLPOCKET", "a pocket index");
  const format = header.readUInt32LE(8);
  expect(format === 1 || format === 2, "format 1 or 2");
  expect(header.readUInt32LE(12) === body.length && sha256([body]).equals(header.subarray(16, HEADER_BYTES)), "the header's body");
  return [format, new Uint8Array(body)];
}

function stateOf(fields, format, base) {
  const [count, codeSize] = [fields.get("count"), fields.get("code_size")];
  expect(count <= MAX_ROWS, "a count within the limit");
  const sent = inflated(fields.get("sent"), Math.ceil(count / 8));
  const numbers = pksOf(inflated(fields.get("pks"), 8 * count));
  const came = numbers.map((_, row) => ((sent[row >> 3] >> (row & 7)) & 1) === 1);
  const sentRows = came.filter(Boolean).length;
  const columns = (format === 1 ? columnsOfText : columnsOfWords)(fields, sentRows, 2 + fields.get("filter_keys").length);
  const fresh = freshRows(fields.get("codes"), codeSize, columns, sentRows);
  if (fresh.length < count)
    expect(base && SAME_IN_A_DELTA.every((key) => isDeepStrictEqual(base.fields.get(key), fields.get(key))), "the state that the delta is for");
  const held = new Map(base?.rows.map((row) => [row.pk, row]));
  let next = 0;
  const rows = numbers.map((pk, row) => {
    const found = came[row] ? fresh[next++] : held.get(pk);
    expect(found !== undefined, "every row that did not come along");
    return { ...found, pk };
  });
  const digest = digestOf(rows, 2 + fields.get("filter_keys").length);
  expect(digest.equals(fields.get("digest")), "rows of the digest that is named");
  expect(rows.every(({ cells }) => isId(JSON.parse(cells[0]))), "ids");
  return { fields, rows, digest };
}

function pksOf(bytes) {
  const numbers = [];
  let last = 0n;
  for (let at = 0; at < bytes.length; at += 8) {
    const step = bytes.readBigInt64LE(at);
    expect(step > 0n || (at === 0 && step === 0n), "numbers that ascend");
    numbers.push((last += step));
  }
  return numbers;
}

function freshRows(codes, codeSize, columns, count) {
  expect(codes.length === count * codeSize, "a code for each row that came along");
  return Array.from({ length: count }, (_, row) => ({
    code: codes.subarray(row * codeSize, (row + 1) * codeSize),
    cells: columns.map((cells) => cells[row]),
  }));
}

/** The cells of format 1: one text, column by column. */
function columnsOfText(fields, rows, count) {
  expect(fields.get("cells_bytes") <= MAX_CELLS_BYTES, "cells within the limit");
  const cells = inflated(fields.get("cells"), fields.get("cells_bytes")).toString("utf8").split("\n");
  expect(cells.pop() === "" && cells.length === rows * count, "cells for each row that came along");
  return Array.from({ length: count }, (_, column) => cells.slice(column * rows, (column + 1) * rows));
}

/** The cells of format 2: for each column a dictionary of words, and every cell as numbers of them. */
function columnsOfWords(fields, rows, count) {
  let left = MAX_CELLS_BYTES;
  expect(fields.get("columns").length === count, "a column for id, title and each filter key");
  return fields.get("columns").map((column) => {
    const size = column.get("words_bytes");
    expect(size <= left, "words within the limit");
    const words = wordsOf(inflated(column.get("words"), size));
    const counts = numbersOf(column.get("counts"), rows);
    const total = counts.reduce((sum, each) => sum + each, 0);
    expect(total <= left, "word numbers within the limit");
    const numbers = numbersOf(column.get("numbers"), total);
    expect(words.length <= 65_536 && numbers.every((number) => number < words.length), "numbers of words that there are");
    const quote = column.get("quoted") ? '"' : "";
    left -= size + rows * (1 + 2 * quote.length) + numbers.reduce((sum, number) => sum + words[number].length, 0);
    expect(left >= 0, "words and cells within the limit");
    let at = 0;
    return counts.map((many) => {
      const cell = Buffer.concat(numbers.slice(at, (at += many)).map((number) => words[number])).toString("utf8");
      return cell === "" ? "" : quote + cell + quote;
    });
  });
}

/** The words, as bytes, since one may end within a character. */
function wordsOf(bytes) {
  const words = [];
  let start = 0;
  for (let end; (end = bytes.indexOf(10, start)) >= 0; start = end + 1) words.push(bytes.subarray(start, end));
  expect(start === bytes.length, "an end of line behind each word");
  return words;
}

/** 16-bit numbers: all their low bytes, then all their high bytes. */
function numbersOf(data, count) {
  const bytes = inflated(data, 2 * count);
  return Array.from({ length: count }, (_, i) => bytes[i] + 256 * bytes[count + i]);
}

function digestOf(rows, columns) {
  const numbers = Buffer.alloc(8 * rows.length);
  rows.forEach(({ pk }, row) => numbers.writeBigInt64LE(pk, 8 * row));
  const cells = Array.from({ length: columns }, (_, column) => rows.map((row) => `${row.cells[column]}\n`).join(""));
  return sha256([numbers, ...rows.map(({ code }) => code), Buffer.from(cells.join(""), "utf8")]);
}

/** Return the k nearest items that pass `where` (Map of key to values): {id, score, metadata, code}. Throws Refused. */
export function searchPocket({ fields, rows }, codec, query, k, where) {
  for (const key of where.keys()) if (!fields.get("filter_keys").includes(key)) throw new Refused("E_FILTER_INVALID", key);
  const names = ["title", ...fields.get("filter_keys")];
  const matches = rows.map(({ code, cells }) => {
    const [id, ...values] = cells.map(valueOf);
    const metadata = new Map(names.map((name, i) => [name, values[i]]).filter(([, value]) => value !== null));
    return { id, score: cosine(query, decode(codec, code)), metadata, code };
  });
  const passing = matches.filter(({ metadata }) =>
    [...where].every(([key, wanted]) => metadata.has(key) && wanted.some((value) => meets(value, metadata.get(key)))));
  return passing.sort((a, b) => b.score - a.score).slice(0, k); // stable
}

function cosine(a, b) {
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}

function meets(wanted, value) {
  const [a, b] = [wanted, value].map((each) => (each instanceof Float ? each.value : each));
  const kinds = [a, b].map((each) => (typeof each === "bigint" ? "number" : typeof each));
  return kinds[0] === kinds[1] && a == b; // == compares a BigInt with a Number by value
}

/** What a cell says; JSON.parse would round large ints and take 1.0 for 1. */
function valueOf(cell) {
  if (cell === "") return null;
  if (/^-?\d+$/.test(cell)) return BigInt(cell);
  const value = JSON.parse(cell);
  return typeof value === "number" ? new Float(value) : value;
}

function inflated(bytes, size) {
  const { buffer, engine } = inflateSync(bytes, { maxOutputLength: Math.max(1, size), info: true });
  expect(buffer.length === size && engine.bytesWritten === bytes.length, `a zlib stream of ${size} bytes`);
  return buffer;
}

function sha256(parts) {
  const hash = createHash("sha256");
  parts.forEach((part) => hash.update(part));
  return hash.digest();
}

const isId = (id) => typeof id === "string" && id.length > 0 && [...id].length <= 200;

function expect(holds, what) {
  if (!holds) throw new Error(`expected ${what}`);
}
