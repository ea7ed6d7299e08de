// "Re-ranking on the device" of shared/README.md.

import { decode } from "./codec.mjs";
import { dot } from "./numbers.mjs";

/**
 * Return `matches` ({score, codeIndex, code, bonus}) with new scores in their new order. `embeddings` are what `codes` were
 * encoded from.
 */
export function rerank(codec, embeddings, codes, matches) {
  if (!matches.every(({ code }) => code?.length === codec.m)) return matches;
  const missed = codes.map((code, i) => {
    const sent = unit(decode(codec, code));
    return sent.map((value, j) => embeddings[i][j] - value);
  });
  const scored = matches.map((match) => {
    const correction = dot(missed[match.codeIndex], unit(decode(codec, match.code)));
    return { ...match, score: match.score + correction };
  });
  return scored.sort((a, b) => b.score + b.bonus - a.score - a.bonus); // stable
}

function unit(vector) {
  const length = Math.sqrt(dot(vector, vector));
  return vector.map((value) => value / length);
}
