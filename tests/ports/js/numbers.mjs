// Numbers out of bytes, little-endian; and sums of them.

function sized(bytes, count, width) {
  if (!(bytes instanceof Uint8Array) || bytes.length !== count * width)
    throw new Error(`expected ${count} numbers of ${width} bytes, got ${bytes?.length} bytes`);
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

export function float32(bytes, count) {
  const view = sized(bytes, count, 4);
  return Float32Array.from({ length: count }, (_, i) => view.getFloat32(4 * i, true));
}

/** Half floats: a sign, five bits of exponent, ten of fraction (IEEE 754 binary16). */
export function float16(bytes, count) {
  const view = sized(bytes, count, 2);
  return Float32Array.from({ length: count }, (_, i) => halfFloat(view.getUint16(2 * i, true)));
}

function halfFloat(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return exponent ? sign * 2 ** (exponent - 15) * (1 + fraction / 1024) : sign * 2 ** -14 * (fraction / 1024);
}

export function dot(a, b, offset = 0) {
  let sum = 0;
  for (let i = 0; i < b.length; i++) sum += a[offset + i] * b[i];
  return sum;
}

export const sumOf = (values) => values.reduce((a, b) => a + b, 0);
