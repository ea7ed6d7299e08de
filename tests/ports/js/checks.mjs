// One check a category: (vector, tolerance, read) to the list of what differs. `read(name)` returns a file's bytes.

import { decode, encode, readCodec } from "./codec.mjs";
import { problem, quality, readGate, readHeads, verdict } from "./gate.mjs";
import { Float } from "./msgpack.mjs";
import { float32 } from "./numbers.mjs";
import { toTensor } from "./pixels.mjs";
import { readPocket, searchPocket } from "./pocket.mjs";
import { packQuery, pairingId, Refused, unpackAnswer } from "./protocol.mjs";
import { rerank } from "./rerank.mjs";

const hex = (bytes) => Buffer.from(bytes).toString("hex");
const fromHex = (text) => new Uint8Array(Buffer.from(text, "hex"));
const fromBase64 = (text) => new Uint8Array(Buffer.from(text, "base64"));
const floats = (text) => float32(fromBase64(text), fromBase64(text).length / 4);

export const CHECKS = {
  pixels({ width, height, size, rgb_base64, tensor_base64 }) {
    const tensor = toTensor({ width, height, data: fromBase64(rgb_base64) }, size);
    const wrong = fromBase64(tensor_base64).reduce((count, level, i) => count + (level !== tensor[i]), 0);
    return wrong || tensor.length !== 3 * size * size ? [`${wrong} levels differ`] : [];
  },

  quality(vector, tolerance) {
    const seen = quality(fromBase64(vector.tensor_base64), vector.size);
    return [
      ...near("sharpness", seen.sharpness, vector.sharpness, tolerance),
      ...near("brightness", seen.brightness, vector.brightness, tolerance),
      ...same("problem", problem(seen, vector), vector.problem),
    ];
  },

  embeddings({ embedding_base64 }, tolerance) {
    return near("length", Math.hypot(...floats(embedding_base64)), 1, tolerance);
  },

  codes({ file, vector_base64, code_hex, decoded_base64 }, tolerance, read) {
    const codec = readCodec(read(file));
    return [
      ...same("code", hex(encode(codec, floats(vector_base64))), code_hex),
      ...allNear("decoded", decode(codec, fromHex(code_hex)), floats(decoded_base64), tolerance),
    ];
  },

  gates(vector, tolerance, read) {
    const gate = readGate(read(vector.file));
    const score = gate.score(floats(vector.embedding_base64));
    return [
      ...near("score", score, vector.score, tolerance),
      ...same("verdict", verdict(score, gate.thresholds), vector.verdict),
    ];
  },

  heads(vector, tolerance, read) {
    const heads = readHeads(read(vector.file));
    const x = floats(vector.embedding_base64);
    const sensitive = heads.sensitive(x);
    return [
      ...same("labels", heads.labels, vector.labels),
      ...allNear("probabilities", heads.probabilities(x), vector.probabilities, tolerance),
      ...near("sensitive", sensitive, vector.sensitive, tolerance),
      ...same("restricted", sensitive !== null && sensitive >= heads.unsureAbove, vector.restricted),
    ];
  },

  pairings({ space, codec_sha256, pairing_id_hex }) {
    return same("pairing id", hex(pairingId(space, codec_sha256)), pairing_id_hex);
  },

  requests(vector) {
    const body = packQuery(queryOf(vector));
    return same("body", body && hex(body), vector.body_hex);
  },

  answers({ name, body_hex, ...said }) {
    return same("answer", writtenDown(unpackAnswer(fromHex(body_hex))), said);
  },

  refused(vector) {
    return same("class", refusal(() => unpackAnswer(fromHex(vector.body_hex))), vector.class);
  },

  rerank(vector, tolerance, read) {
    const matches = vector.matches.map(({ id, score, code_index, code_hex, bonus = 0 }) => (
      { id, score, codeIndex: code_index, code: code_hex === null ? null : fromHex(code_hex), bonus }));
    const embeddings = vector.embeddings_base64.map(floats);
    const got = rerank(readCodec(read(vector.file)), embeddings, vector.codes_hex.map(fromHex), matches);
    return [
      ...same("order", got.map(({ id }) => id), vector.reranked.map(({ id }) => id)),
      ...allNear("scores", got.map(({ score }) => score), vector.reranked.map(({ score }) => score), tolerance),
    ];
  },

  way(vector, tolerance, read) {
    const got = wayOf(vector, read);
    const differing = [...same("outcome", got.outcome, vector.outcome), ...same("unsure", got.unsure, vector.unsure)];
    if (got.outcome !== "sent" || vector.request === null) return [...differing, ...same("sent", got.outcome === "sent", vector.request !== null)];
    const query = { ...queryOf(vector.request), codes: [got.code] };
    return [...differing, ...same("body", hex(packQuery(query)), vector.request.body_hex)];
  },

  pockets(vector, tolerance, read) {
    const refused = refusal(() => pocketOf(vector, read));
    if (refused !== null || vector.class !== null) return same("class", refused, vector.class);
    const { fields, rows, digest } = pocketOf(vector, read);
    const [codec, query] = [readCodec(read("codec-golden.msgpack")), floats(vector.embedding_base64)];
    return [
      ...["tenant", "filter_keys", "version"].flatMap((key) => same(key, fields.get(key), vector[key])),
      ...same("seq", String(fields.get("seq")), vector.seq),
      ...same("digest", hex(digest), vector.digest_hex),
      ...same("pks", rows.map(({ pk }) => String(pk)), vector.pks),
      ...vector.searches.flatMap((search) => {
        const ask = () => searchPocket({ fields, rows }, codec, query, search.k, untagged(search.where));
        const refusedSearch = refusal(ask);
        if (refusedSearch !== null || search.class !== null) return same(search.name, refusedSearch, search.class);
        const found = ask();
        const written = found.map(({ id, metadata, code }) => ({ id, metadata: tagged(metadata), code_hex: hex(code) }));
        return [
          ...same(search.name, written, search.matches.map(({ score, ...match }) => match)),
          ...allNear(`${search.name}: scores`, found.map(({ score }) => score), search.matches.map(({ score }) => score), tolerance),
        ];
      }),
    ];
  },
};

/** Open a pocket vector's file, and its base before it. */
function pocketOf({ file, base, pairing_id_hex }, read) {
  const ours = fromHex(pairing_id_hex);
  return readPocket(read(file), base === null ? null : readPocket(read(base), null, ours), ours);
}

/** The code of the refusal, null when there is none. */
function refusal(action) {
  try {
    action();
    return null;
  } catch (error) {
    if (error instanceof Refused) return error.code;
    throw error;
  }
}

/** "What the device decides", for a frame of one crop. */
function wayOf({ tensor_base64, size, embedding_base64, thresholds }, read) {
  if (problem(quality(fromBase64(tensor_base64), size), thresholds)) return { outcome: "retake", unsure: false };
  const x = floats(embedding_base64);
  const gated = verdict(readGate(read("gate-golden.msgpack")).score(x), thresholds);
  if (gated === "not_found") return { outcome: "not_found", unsure: false };
  const { unsure_above } = thresholds;
  if (unsure_above !== null && readHeads(read("heads-golden.msgpack")).sensitive(x) >= unsure_above)
    return { outcome: "restricted", unsure: false };
  return { outcome: "sent", unsure: gated === "unsure", code: encode(readCodec(read("codec-golden.msgpack")), x) };
}

function queryOf(vector) {
  return {
    pairingId: fromHex(vector.pairing_id_hex),
    requestId: fromHex(vector.request_id_hex),
    codes: vector.codes_hex.map(fromHex),
    k: vector.k,
    deadlineMs: vector.deadline_ms,
    gateScores: vector.gate_scores,
    where: untagged(vector.where),
    text: vector.text ?? "",
    sensitiveScores: vector.sensitive_scores ?? [],
  };
}

/** The answer as a vector has it. */
function writtenDown(answer) {
  return {
    request_id_hex: hex(answer.requestId),
    decision: answer.decision,
    matches: answer.matches.map(({ id, score, codeIndex, metadata, code, bonus }) => (
      { id, score, code_index: codeIndex, metadata: tagged(metadata), code_hex: code === null ? null : hex(code), ...(bonus ? { bonus } : {}) })),
    reasons: answer.reasons,
    partial: answer.partial,
    versions: answer.versions,
    stages_ms: answer.stagesMs,
    ...(answer.confidence === null ? {} : { confidence: answer.confidence }),
    ...(answer.disclaimer ? { disclaimer: answer.disclaimer } : {}),
  };
}

function untagged([tag, value]) {
  switch (tag) {
    case "int": return BigInt(value);
    case "float": return new Float(value);
    case "array": return value.map(untagged);
    case "map": return new Map(value.map(([key, each]) => [key, untagged(each)]));
    default: return value; // text and bool
  }
}

function tagged(value) {
  if (value === null) return ["nil"];
  if (value instanceof Float) return ["float", value.value];
  if (value instanceof Uint8Array) return ["bytes", hex(value)];
  if (Array.isArray(value)) return ["array", value.map(tagged)];
  if (value instanceof Map) return ["map", [...value].map(([key, each]) => [key, tagged(each)])];
  if (typeof value === "number" || typeof value === "bigint") return ["int", String(value)];
  return [typeof value === "boolean" ? "bool" : "text", value];
}

function same(what, got, expected) {
  const [ours, theirs] = [got, expected].map((value) => JSON.stringify(sorted(value)));
  return ours === theirs ? [] : [`${what}: expected ${theirs.slice(0, 160)}, got ${ours.slice(0, 160)}`];
}

/** The value with its objects' keys in order: JSON does not care about it, comparing texts does. */
function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.keys(value).sort().map((key) => [key, sorted(value[key])]));
}

function near(what, got, expected, tolerance) {
  if (got === null || expected === null) return same(what, got, expected);
  const close = Math.abs(got - expected) <= tolerance * Math.max(1, Math.abs(expected));
  return close ? [] : [`${what}: expected ${expected}, got ${got}`];
}

function allNear(what, got, expected, tolerance) {
  if (got.length !== expected.length) return [`${what}: expected ${expected.length} numbers, got ${got.length}`];
  return [...got].flatMap((value, i) => near(`${what}[${i}]`, value, expected[i], tolerance)).slice(0, 3);
}
