// node check.mjs DIR: does this port reproduce every golden vector that `sightline conformance --out DIR` wrote?
//
// Prints a line a category and one for each vector that differs; exit status 1 when any does.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CHECKS } from "./checks.mjs";

const FORMAT = 1;

/** Return a reader of the folder's files, each checked against the index; throws where one does not hash right. */
function open(directory) {
  const index = JSON.parse(readFileSync(join(directory, "index.json"), "utf8"));
  if (index.format !== FORMAT) throw new Error(`index.json: expected format ${FORMAT}, got ${index.format}`);
  const read = (name) => {
    const data = readFileSync(join(directory, name));
    const got = createHash("sha256").update(data).digest("hex");
    if (got !== index.files[name]?.sha256) throw new Error(`${name}: expected SHA-256 ${index.files[name]?.sha256}, got ${got}`);
    return new Uint8Array(data);
  };
  return { index, read };
}

/** Return the differences in one vector, in words. */
function differences(check, vector, tolerance, read) {
  try {
    return check(vector, tolerance, read);
  } catch (error) {
    return [`${error.name}: ${error.message}`];
  }
}

function main(directory) {
  const { index, read } = open(directory);
  const categories = Object.keys(index.files).filter((name) => name.endsWith(".json")).map((name) => name.slice(0, -5));
  let failed = 0;
  for (const category of categories) {
    const check = CHECKS[category];
    const { vectors, tolerance } = JSON.parse(new TextDecoder().decode(read(`${category}.json`)));
    const wrong = vectors.flatMap((vector) => {
      const found = check ? differences(check, vector, tolerance, read) : ["this port has no check of the category"];
      return found.length ? [`  ${vector.name}: ${found.join("; ")}`] : [];
    });
    failed += wrong.length;
    const note = category === "embeddings" ? "   (lengths only: this port runs no student)" : "";
    console.log([`${category.padEnd(12)} ${vectors.length - wrong.length} of ${vectors.length}${note}`, ...wrong].join("\n"));
  }
  const absent = Object.keys(CHECKS).filter((category) => !categories.includes(category));
  if (absent.length) console.log(`absent: ${absent.join(", ")}`);
  return failed || absent.length ? 1 : 0;
}

try {
  process.exitCode = main(process.argv[2]);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
