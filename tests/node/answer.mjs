// Answers requests, one line of JSON each, by the reader that users copy; what JSON lacks is tagged.
import { createInterface } from "node:readline";
import { FeatureReader } from "./reader.mjs";

const [url, service, prefix, onError] = process.argv.slice(2);
const reader = new FeatureReader(url, service, { prefix, onError });
await reader.client.connect();

function tagged(key, json) {
  const value = this[key]; // before toJSON of bytes
  if (typeof value === "bigint") return { int: String(value) };
  if (value instanceof Uint8Array) return { bytes: Buffer.from(value).toString("hex") };
  if (Number.isNaN(value)) return { float: "nan" };
  if (value === Infinity || value === -Infinity) return { float: value > 0 ? "inf" : "-inf" };
  return Object.is(value, -0) ? { float: "-0.0" } : json;
}

for await (const line of createInterface({ input: process.stdin })) {
  const answer = await reader.get(JSON.parse(line)).catch((error) => ({ error: error.message }));
  console.log(JSON.stringify(answer, tagged));
}
await reader.client.close();
