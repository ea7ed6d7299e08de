// Steps 2 to 5 of "The pixels" of shared/README.md. A picture is {width, height, data}: 8-bit RGB, row by row.

/** Return the model's input, size x size x 3 levels. */
export function toTensor(picture, size) {
  let image = crop(picture);
  const f = Math.floor(Math.min(image.width, image.height) / size);
  if (f >= 2) image = average(image, f);
  image = resizeRows(image, size);
  return transpose(resizeRows(transpose(image), size)).data;
}

function crop(picture) {
  const width = Math.min(picture.width, cutTo(picture.height));
  const height = Math.min(picture.height, cutTo(picture.width));
  const left = Math.floor((picture.width - width) / 2);
  const top = Math.floor((picture.height - height) / 2);
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    const start = ((top + y) * picture.width + left) * 3;
    data.set(picture.data.subarray(start, start + width * 3), y * width * 3);
  }
  return { width, height, data };
}

/** 4/3 of a side, rounded. In thirds there are no halves, so no rule for them is needed. */
function cutTo(side) {
  return Math.floor((8 * side + 3) / 6);
}

function average(image, f) {
  const width = Math.ceil(image.width / f);
  const height = Math.ceil(image.height / f);
  const data = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      for (let channel = 0; channel < 3; channel++)
        data[(y * width + x) * 3 + channel] = averageOf(image, x * f, y * f, f, channel);
  return { width, height, data };
}

function averageOf(image, left, top, f, channel) {
  const right = Math.min(left + f, image.width);
  const bottom = Math.min(top + f, image.height);
  let sum = 0;
  for (let y = top; y < bottom; y++)
    for (let x = left; x < right; x++) sum += image.data[(y * image.width + x) * 3 + channel];
  const n = (right - left) * (bottom - top);
  return ((sum + Math.floor(n / 2)) * Math.floor(2 ** 24 / n)) / 2 ** 24; // storing it into bytes rounds down
}

/** Resize the height to `size`; the width stays. */
function resizeRows(image, size) {
  if (image.height === size) return image;
  const { width } = image;
  const data = new Uint8Array(width * size * 3);
  weights(image.height, size).forEach(({ first, levels }, row) => {
    for (let i = 0; i < width * 3; i++) {
      let sum = 2 ** 21;
      for (let j = 0; j < levels.length; j++) sum += levels[j] * image.data[(first + j) * width * 3 + i];
      data[row * width * 3 + i] = Math.min(255, Math.max(0, Math.floor(sum / 2 ** 22)));
    }
  });
  return { width, height: size, data };
}

function weights(input, output) {
  const scale = input / output;
  const reach = Math.max(scale, 1);
  return Array.from({ length: output }, (_, i) => {
    const centre = (i + 0.5) * scale;
    const first = Math.max(0, Math.floor(centre - reach + 0.5));
    const end = Math.min(input, Math.floor(centre + reach + 0.5));
    const raw = [];
    for (let j = first; j < end; j++) raw.push(Math.max(0, 1 - Math.abs(j + 0.5 - centre) / reach));
    const sum = raw.reduce((a, b) => a + b, 0);
    return { first, levels: raw.map((weight) => Math.floor((weight / sum) * 2 ** 22 + 0.5)) };
  });
}

function transpose({ width, height, data }) {
  const out = new Uint8Array(data.length);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      for (let channel = 0; channel < 3; channel++)
        out[(x * height + y) * 3 + channel] = data[(y * width + x) * 3 + channel];
  return { width: height, height: width, data: out };
}
