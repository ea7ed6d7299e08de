// "The codec" of shared/README.md: a vector as m bytes, and back. Arithmetic in 64-bit floats.

import { unpack } from "./msgpack.mjs";
import { float32 } from "./numbers.mjs";

/** Return the codec in a codec file's bytes: d, m, p, mean, rotation (p x d), weights (p), codebooks (m x 256 x p/m). */
export function readCodec(bytes) {
  const file = unpack(bytes);
  const format = file.get("format");
  if (format !== 1 && format !== 2) throw new Error(`codec: format ${format} is not known`);
  const [d, m] = [file.get("d"), file.get("m")];
  const p = format === 2 ? file.get("p") : d;
  return {
    d, m, p,
    mean: float32(file.get("mean"), d),
    rotation: float32(file.get("rotation"), p * d),
    weights: format === 2 ? float32(file.get("weights"), p) : new Float32Array(p).fill(1),
    codebooks: float32(file.get("codebooks"), 256 * p),
  };
}

/** Return the code of the vector x (d numbers): m bytes. */
export function encode(codec, x) {
  const { d, m, p, mean, rotation } = codec;
  const y = new Float64Array(p);
  for (let row = 0; row < p; row++)
    for (let i = 0; i < d; i++) y[row] += rotation[row * d + i] * (x[i] - mean[i]);
  return Uint8Array.from({ length: m }, (_, part) => nearest(codec, part, y));
}

function nearest({ m, p, weights, codebooks }, part, y) {
  const n = p / m;
  let [best, least] = [0, Infinity];
  for (let index = 0; index < 256; index++) {
    let distance = 0;
    for (let i = 0; i < n; i++) {
      const error = y[part * n + i] - codebooks[(part * 256 + index) * n + i];
      distance += weights[part * n + i] * error * error;
    }
    if (distance < least) [best, least] = [index, distance];
  }
  return best;
}

/** Return the vector (d numbers) that the code stands for. */
export function decode({ d, m, p, mean, rotation, codebooks }, code) {
  const n = p / m;
  const x = Float64Array.from(mean);
  for (let row = 0; row < p; row++) {
    const part = Math.floor(row / n);
    const value = codebooks[(part * 256 + code[part]) * n + (row % n)];
    for (let i = 0; i < d; i++) x[i] += rotation[row * d + i] * value;
  }
  return x;
}
