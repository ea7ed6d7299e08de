// The gate and the heads ("The bundle" of shared/README.md), and what the device decides by them.

import { unpack } from "./msgpack.mjs";
import { dot, float16, float32, sumOf } from "./numbers.mjs";

const THRESHOLDS = ["reject_below", "sure_above", "min_sharpness", "min_brightness", "max_brightness"];

/** Return sharpness (variance of the luma's Laplacian) and brightness (mean luma) of a size x size x 3 tensor. */
export function quality(tensor, size) {
  const luma = Float64Array.from({ length: size * size }, (_, i) =>
    (299 * tensor[3 * i] + 587 * tensor[3 * i + 1] + 114 * tensor[3 * i + 2]) / 1000);
  const laplacian = [];
  for (let y = 1; y < size - 1; y++)
    for (let x = 1; x < size - 1; x++) {
      const at = y * size + x;
      laplacian.push(luma[at - 1] + luma[at + 1] + luma[at - size] + luma[at + size] - 4 * luma[at]);
    }
  const mean = sumOf(laplacian) / laplacian.length;
  return {
    sharpness: sumOf(laplacian.map((value) => (value - mean) ** 2)) / laplacian.length,
    brightness: sumOf(luma) / luma.length,
  };
}

/** Return what is wrong with a frame of this quality, or null. */
export function problem(seen, thresholds) {
  if (seen.brightness < thresholds.min_brightness) return "too dark";
  if (seen.brightness > thresholds.max_brightness) return "too bright";
  return seen.sharpness < thresholds.min_sharpness ? "hold still" : null;
}

/** Return what a gate score means: not_found, unsure or sure. */
export function verdict(score, thresholds) {
  if (score < thresholds.reject_below) return "not_found";
  return score < thresholds.sure_above ? "unsure" : "sure";
}

/** Return the gate in a gate file's bytes: its thresholds, and `score(x)` of an embedding. */
export function readGate(bytes) {
  const file = unpack(bytes);
  const d = file.get("dim");
  const thresholds = Object.fromEntries(THRESHOLDS.map((name) => [name, number(file.get(name))]));
  if (file.get("format") === 1) {
    const p = file.get("prototypes").length / (2 * d);
    const rows = { d, p, rows: float16(file.get("prototypes"), p * d), offsets: float16(file.get("offsets"), p) };
    return { thresholds, score: (x) => Math.max(...products(rows, x)) };
  }
  if (file.get("format") !== 2) throw new Error(`gate: format ${file.get("format")} is not known`);
  const p = file.get("rows").length / (2 * d);
  const gate = {
    d, p,
    rows: float16(file.get("rows"), p * d),
    offsets: float32(file.get("offsets"), p),
    parameter: number(file.get("parameter")),
    whitening: file.get("whitening").length ? float16(file.get("whitening"), d * d) : null,
  };
  const raw = SCORES[file.get("kind")];
  if (raw === undefined) throw new Error(`gate: kind ${file.get("kind")} is not known`);
  return { thresholds, score: (x) => number(file.get("shift")) + number(file.get("gain")) * raw(gate, x) };
}

const SCORES = {
  cosine: (gate, x) => Math.max(...products(gate, x)),
  max_logit: (gate, x) => Math.max(...products(gate, x)),
  knn: (gate, x) => {
    const count = Math.min(gate.parameter, gate.p);
    return sumOf(largest(products(gate, x), count)) / count;
  },
  energy: (gate, x) => energy(products(gate, x), gate.parameter),
  scale: (gate, x) => {
    const sizes = [...x].map(Math.abs);
    const s = sumOf(sizes) / sumOf(largest(sizes, Math.max(1, Math.round(gate.parameter * gate.d))));
    return energy(products(gate, x, Math.exp(s)), 1);
  },
  mahalanobis: ({ d, p, rows, offsets, whitening }, x) => {
    const white = Float64Array.from({ length: d }, (_, row) => dot(whitening, x, row * d));
    const scores = Array.from({ length: p }, (_, row) =>
      -sumOf(white.map((value, i) => (value - rows[row * d + i]) ** 2)) - offsets[row]);
    return Math.max(...scores);
  },
};

function products({ d, p, rows, offsets }, x, factor = 1) {
  return Array.from({ length: p }, (_, row) => factor * dot(rows, x, row * d) - offsets[row]);
}

function largest(values, count) {
  return values.sort((a, b) => b - a).slice(0, count);
}

function energy(logits, temperature) {
  const top = Math.max(...logits);
  return top + temperature * Math.log(sumOf(logits.map((logit) => Math.exp((logit - top) / temperature))));
}

/** Return the heads in a heads file's bytes: `probabilities(x)`, one a label, and `sensitive(x)`, 0..1 or null. */
export function readHeads(bytes) {
  const file = unpack(bytes);
  const [d, labels] = [file.get("dim"), file.get("labels")];
  const weight = float32(file.get("weight"), labels.length * d);
  const bias = float32(file.get("bias"), labels.length);
  const head = file.get("sensitive");
  const sensitive = head && { weight: float32(head.get("weight"), d), bias: number(head.get("bias")) };
  return {
    labels,
    unsureAbove: head && number(head.get("unsure_above")),
    probabilities: (x) => softmax(labels.map((_, row) => dot(weight, x, row * d) + bias[row])),
    sensitive: (x) => sensitive && 1 / (1 + Math.exp(-(dot(sensitive.weight, x) + sensitive.bias))),
  };
}

function softmax(logits) {
  const top = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - top));
  return powers.map((power) => power / sumOf(powers));
}

const number = (value) => (typeof value === "number" ? value : value.value);
