// The wire, from "The wire" of shared/README.md: a query's bytes, and what an answer's bytes mean.

import { createHash } from "node:crypto";
import { Float, Malformed, pack, unpack } from "./msgpack.mjs";

const MAX_ANSWER_BYTES = 256 * 1024;
const MAX_QUERY_BYTES = 2048;
const MAX_MATCHES = 50;
const DECISIONS = { 1: "found", 2: "unsure", 3: "not_found", 4: "restricted" };
const KINDS = ["bool", "number", "text"];

/** A body that must not be used; `code` is its class. */
export class Refused extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** The first 8 bytes of SHA-256 over the space and the codec's digest. */
export function pairingId(space, codecSha256) {
  return new Uint8Array(createHash("sha256").update(`${space}\n${codecSha256}`, "utf8").digest().subarray(0, 8));
}

/**
 * Return a query's bytes. `query`: pairingId, requestId (8 bytes each), codes (Uint8Array each), k, deadlineMs, and
 * where there are any gateScores (0..1), where (Map of key to array of strings, booleans, BigInts and Floats), text and
 * sensitiveScores (0..1). Null: its filter or its text makes it too long to be sent.
 */
export function packQuery(query) {
  const where = canonicalFilter(query.where ?? new Map());
  const body = new Map([
    [0, query.text || query.sensitiveScores?.length ? 3 : where.size ? 2 : 1],
    [1, query.pairingId],
    [2, new Uint8Array(Buffer.concat(query.codes))],
    [3, query.k],
    [4, query.deadlineMs],
    [5, query.requestId],
  ]);
  if (query.codes.length > 1) body.set(6, query.codes.length);
  if (query.gateScores?.length) body.set(7, Uint8Array.from(query.gateScores, scoreByte));
  if (where.size) body.set(8, where);
  if (query.text) body.set(9, query.text);
  if (query.sensitiveScores?.length) body.set(10, Uint8Array.from(query.sensitiveScores, scoreByte));
  const bytes = pack(body);
  return bytes.length > MAX_QUERY_BYTES ? null : bytes;
}

function scoreByte(score) {
  return Math.round(255 * Math.min(1, Math.max(0, score)));
}

function canonicalFilter(where) {
  const keys = [...where.keys()].sort(byCodePoint);
  return new Map(keys.map((key) => [key, canonicalValues(where.get(key))]));
}

function canonicalValues(values) {
  const sorted = [...values].sort((a, b) => KINDS.indexOf(kind(a)) - KINDS.indexOf(kind(b)) || byValue(a, b));
  return sorted.filter((each, i) => i === 0 || kind(each) !== kind(sorted[i - 1]) || byValue(each, sorted[i - 1]) !== 0);
}

function kind(value) {
  return typeof value === "boolean" ? "bool" : typeof value === "string" ? "text" : "number";
}

function byValue(a, b) {
  if (kind(a) === "text") return byCodePoint(a, b);
  const [x, y] = [a, b].map((each) => (each instanceof Float ? each.value : each));
  return x < y ? -1 : x > y ? 1 : 0; // JavaScript compares a BigInt with a Number exactly
}

/** Compare as code points, which is the order of UTF-8 bytes; JavaScript's own order is that of UTF-16. */
function byCodePoint(a, b) {
  return Buffer.compare(Buffer.from(a, "utf8"), Buffer.from(b, "utf8"));
}

/** Return an answer as a plain object; throws Refused with the code that says why not. */
export function unpackAnswer(bytes) {
  const fields = answerMap(bytes);
  const get = (key, check, absent) => {
    const value = fields.has(key) ? fields.get(key) : absent;
    if (!check(value)) throw malformed(`key ${key} is absent or of another type`);
    return value;
  };
  const rows = get(3, Array.isArray);
  if (rows.length > MAX_MATCHES) throw malformed(`${rows.length} matches`);
  const decision = DECISIONS[get(2, isInt)];
  if (decision === undefined) throw malformed("a decision that there is not");
  const versions = get(6, (value) => isTextMap(value, isText), new Map());
  const stages = get(7, (value) => isTextMap(value, isFloat), new Map());
  return {
    requestId: get(1, isBytes),
    decision,
    matches: rows.map(readMatch),
    reasons: get(4, (value) => Array.isArray(value) && value.every(isText), []),
    partial: get(5, (value) => typeof value === "boolean", false),
    versions: Object.fromEntries(versions),
    stagesMs: Object.fromEntries([...stages].map(([stage, ms]) => [stage, ms.value])),
    confidence: fields.has(9) ? get(9, (value) => isFloat(value) && value.value >= 0 && value.value <= 1).value : null,
    disclaimer: get(10, isText, ""),
  };
}

function answerMap(bytes) {
  if (bytes.length > MAX_ANSWER_BYTES) throw new Refused("E_BODY_TOO_LARGE", `${bytes.length} bytes`);
  let fields;
  try {
    fields = unpack(bytes);
  } catch (error) {
    throw error instanceof Malformed ? malformed(error.message) : error;
  }
  if (!(fields instanceof Map)) throw malformed("no map");
  if (fields.get(0) !== 1) throw new Refused("E_PROTOCOL_UNKNOWN", `protocol ${fields.get(0)}`);
  return fields;
}

function readMatch(row) {
  if (!Array.isArray(row) || row.length < 5) throw malformed("a match of fewer than five fields");
  const [id, score, codeIndex, metadata, code, more] = row; // a longer row is a newer service's
  if (!isText(id) || !isInt(codeIndex) || !(metadata instanceof Map)) throw malformed("a match's id, code index or metadata");
  if (!isFloat(score) || !Number.isFinite(score.value)) throw malformed("a match's score");
  if (code !== null && !isBytes(code)) throw malformed("a match's code");
  const bonus = isFloat(more) && Number.isFinite(more.value) ? more.value : 0;
  return { id, score: score.value, codeIndex, metadata, code, bonus };
}

const malformed = (message) => new Refused("E_BODY_MALFORMED", message);
const isInt = (value) => Number.isInteger(value) || typeof value === "bigint";
const isFloat = (value) => value instanceof Float;
const isText = (value) => typeof value === "string";
const isBytes = (value) => value instanceof Uint8Array;
const isTextMap = (value, check) => value instanceof Map && [...value].every(([key, each]) => isText(key) && check(each));
