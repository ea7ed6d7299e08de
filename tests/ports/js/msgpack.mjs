// The part of msgpack that Sightline uses, from https://github.com/msgpack/msgpack/blob/master/spec.md.
//
// Written values: null, boolean, BigInt or safe integer `Number` (int), `Float` (float 64), string, Uint8Array (bin),
// Array, Map. Read values: the same, except that an int which a Number holds exactly is a Number and a float is a `Float`:
// JavaScript has one kind of number, the wire has two.

export class Malformed extends Error {}

/** A msgpack float: 1.0 and 1 are different bytes. */
export class Float {
  constructor(value) {
    this.value = value;
  }
}

const MAX_DEPTH = 512;
const utf8 = new TextEncoder();
const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Return the bytes of one value, each int and each length in its shortest form. */
export function pack(value) {
  const parts = [];
  write(value, parts);
  return new Uint8Array(Buffer.concat(parts));
}

function write(value, parts) {
  if (value === null) parts.push(Buffer.of(0xc0));
  else if (typeof value === "boolean") parts.push(Buffer.of(value ? 0xc3 : 0xc2));
  else if (typeof value === "bigint" || Number.isSafeInteger(value)) parts.push(integer(BigInt(value)));
  else if (value instanceof Float) parts.push(float64(value.value));
  else if (typeof value === "string") writeText(utf8.encode(value), parts);
  else if (value instanceof Uint8Array) parts.push(head(value.length, [0xc4, 0xc5, 0xc6]), value);
  else if (Array.isArray(value)) {
    parts.push(value.length < 16 ? Buffer.of(0x90 | value.length) : head(value.length, [null, 0xdc, 0xdd]));
    for (const each of value) write(each, parts);
  } else if (value instanceof Map) {
    parts.push(value.size < 16 ? Buffer.of(0x80 | value.size) : head(value.size, [null, 0xde, 0xdf]));
    for (const [key, each] of value) {
      write(key, parts);
      write(each, parts);
    }
  } else throw new TypeError(`msgpack: ${typeof value} ${value} does not travel`);
}

function writeText(bytes, parts) {
  parts.push(bytes.length < 32 ? Buffer.of(0xa0 | bytes.length) : head(bytes.length, [0xd9, 0xda, 0xdb]), bytes);
}

/** Type byte and length, big-endian, in the shortest of the 8, 16 and 32 bit forms that there are. */
function head(length, [for8, for16, for32]) {
  const out = Buffer.alloc(5);
  if (for8 !== null && length < 2 ** 8) {
    out[0] = for8;
    out[1] = length;
    return out.subarray(0, 2);
  }
  if (length < 2 ** 16) {
    out[0] = for16;
    out.writeUInt16BE(length, 1);
    return out.subarray(0, 3);
  }
  out[0] = for32;
  out.writeUInt32BE(length, 1);
  return out;
}

function integer(n) {
  const out = Buffer.alloc(9);
  if (n >= 0n) {
    if (n < 128n) return Buffer.of(Number(n));
    if (n < 2n ** 8n) return Buffer.of(0xcc, Number(n));
    if (n < 2n ** 16n) {
      out[0] = 0xcd;
      out.writeUInt16BE(Number(n), 1);
      return out.subarray(0, 3);
    }
    if (n < 2n ** 32n) {
      out[0] = 0xce;
      out.writeUInt32BE(Number(n), 1);
      return out.subarray(0, 5);
    }
    out[0] = 0xcf;
    out.writeBigUInt64BE(n, 1);
    return out;
  }
  if (n >= -32n) return Buffer.of(256 + Number(n));
  if (n >= -(2n ** 7n)) return Buffer.of(0xd0, 256 + Number(n));
  if (n >= -(2n ** 15n)) {
    out[0] = 0xd1;
    out.writeInt16BE(Number(n), 1);
    return out.subarray(0, 3);
  }
  if (n >= -(2n ** 31n)) {
    out[0] = 0xd2;
    out.writeInt32BE(Number(n), 1);
    return out.subarray(0, 5);
  }
  out[0] = 0xd3;
  out.writeBigInt64BE(n, 1);
  return out;
}

function float64(number) {
  const out = Buffer.alloc(9);
  out[0] = 0xcb;
  out.writeDoubleBE(number, 1);
  return out;
}

/** Return the one value that `bytes` hold; throws Malformed when they break, end early, go on, or nest too deep. */
export function unpack(bytes) {
  const reader = new Reader(bytes);
  const value = reader.value(0);
  if (reader.at !== bytes.length) throw new Malformed(`${bytes.length - reader.at} bytes after the value`);
  return value;
}

class Reader {
  constructor(bytes) {
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    this.at = 0;
  }

  /** The next `length` bytes; a length that reaches past the end is refused before anything is allocated. */
  take(length) {
    if (length > this.bytes.length - this.at) throw new Malformed("the bytes end early");
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  unsigned(length) {
    return this.take(length).readUIntBE(0, length);
  }

  value(depth) {
    if (depth > MAX_DEPTH) throw new Malformed("nested too deep");
    const type = this.unsigned(1);
    if (type < 0x80) return type;
    if (type < 0x90) return this.map(type & 15, depth);
    if (type < 0xa0) return this.array(type & 15, depth);
    if (type < 0xc0) return this.text(type & 31);
    if (type >= 0xe0) return type - 256;
    switch (type) {
      case 0xc0: return null;
      case 0xc2: return false;
      case 0xc3: return true;
      case 0xc4: return this.binary(1);
      case 0xc5: return this.binary(2);
      case 0xc6: return this.binary(4);
      case 0xca: return new Float(this.take(4).readFloatBE());
      case 0xcb: return new Float(this.take(8).readDoubleBE());
      case 0xcc: return this.unsigned(1);
      case 0xcd: return this.unsigned(2);
      case 0xce: return this.unsigned(4);
      case 0xcf: return narrow(this.take(8).readBigUInt64BE());
      case 0xd0: return this.take(1).readInt8();
      case 0xd1: return this.take(2).readInt16BE();
      case 0xd2: return this.take(4).readInt32BE();
      case 0xd3: return narrow(this.take(8).readBigInt64BE());
      case 0xd9: return this.text(this.unsigned(1));
      case 0xda: return this.text(this.unsigned(2));
      case 0xdb: return this.text(this.unsigned(4));
      case 0xdc: return this.array(this.unsigned(2), depth);
      case 0xdd: return this.array(this.unsigned(4), depth);
      case 0xde: return this.map(this.unsigned(2), depth);
      case 0xdf: return this.map(this.unsigned(4), depth);
      default: throw new Malformed(`type byte 0x${type.toString(16)} is not used`);
    }
  }

  binary(lengthBytes) {
    return new Uint8Array(this.take(this.unsigned(lengthBytes)));
  }

  text(length) {
    try {
      return strictUtf8.decode(this.take(length));
    } catch (error) {
      throw error instanceof Malformed ? error : new Malformed("text that is not UTF-8");
    }
  }

  array(length, depth) {
    const out = [];
    for (let i = 0; i < length; i++) out.push(this.value(depth + 1));
    return out;
  }

  map(length, depth) {
    const out = new Map();
    for (let i = 0; i < length; i++) {
      const key = this.value(depth + 1);
      if (typeof key === "object" && key !== null) throw new Malformed("a map's key is neither text nor a whole number");
      out.set(key, this.value(depth + 1));
    }
    return out;
  }
}

function narrow(n) {
  return n >= BigInt(Number.MIN_SAFE_INTEGER) && n <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(n) : n;
}
