// Reads the feature vectors of one service from Redis: docs/online-format.md of feature-sync in JavaScript, to copy.
import { decode } from "@msgpack/msgpack";
import { createClient, RESP_TYPES } from "@redis/client";

const FORMAT = 1;
const FLOATS = { nan: NaN, inf: Infinity, "-inf": -Infinity };
const isInteger = (value) => typeof value === "bigint" || Number.isInteger(value);
const is = (type) => (value) => typeof value === type;
const isBytes = (value) => value instanceof Uint8Array;
const isMap = (value) => typeof value === "object" && !Array.isArray(value) && !isBytes(value);
const CHECKS = {
  bool: is("boolean"), int64: isInteger, float64: is("number"), bytes: isBytes, date: isInteger, timestamp: isInteger,
  timestamptz: isInteger, array: Array.isArray, struct: isMap,
}; // the other types are text

export class FeatureReader {
  /** `onError: "null"` answers null for what cannot be read, with the status "gone" or "invalid", instead of throwing. */
  constructor(url, service, { prefix, onError = "throw" }) {
    this.client = createClient({ url, commandOptions: { typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } } });
    this.client.on("error", console.error); // a client without a listener ends the process when a connection is lost
    this.cardKey = `${prefix}:service:${service}`;
    this.revisionKey = `${prefix}:revision`;
    this.isLenient = onError === "null";
  }

  /** Reads the vectors of entities such as `{ carrier: "B6" }`, in order: values, statuses, event timestamps in µs. */
  async get(entities) {
    for (let tries = 0; tries < 10; tries++) {
      const { card, revision } = (this.known ??= await this.readCard());
      const keys = card.selections.map((each) => entities.map((entity) => rowKey(each, entity)));
      const replies = await this.client.mGet([this.revisionKey, ...keys.flat().filter((key) => key !== null)]);
      if (String(replies.shift()) === revision) return this.answer(card, keys, replies);
      this.known = undefined;
    }
    throw new Error(`${this.cardKey} changes all the time`);
  }

  async readCard() {
    const [revision, content] = await this.client.mGet([this.revisionKey, this.cardKey]);
    if (content === null) throw new Error(`Redis has no ${this.cardKey}: was the service pushed under this prefix?`);
    const card = JSON.parse(content);
    if ((card.format ?? 1) > FORMAT) throw new Error(`${this.cardKey} is of format ${card.format}: get a newer reader`);
    return { card, revision: String(revision) };
  }

  async answer(card, keys, replies) {
    const vectors = keys[0].map(() => ({ values: {}, statuses: {}, eventTimestamps: {} }));
    for (const [at, selection] of card.selections.entries()) {
      const rows = keys[at].map((key) => (key === null ? null : replies.shift())).map(split);
      await this.learn(selection, rows);
      for (const [place, row] of rows.entries()) {
        for (const [name, status, value] of cells(selection, row)) {
          if (!this.isLenient && (status === "gone" || status === "invalid"))
            throw new Error(`${name} of ${selection.view} is ${status} in ${keys[at][place]}`);
          vectors[place].values[name] = value;
          vectors[place].statuses[name] = status;
          vectors[place].eventTimestamps[name] = status === "invalid" ? null : (row?.eventTimestamp ?? null);
        }
      }
    }
    return vectors;
  }

  /** Reads the layouts that a push has written since it wrote the card; one that is not there stays unknown. */
  async learn({ layouts, schemas, keys, join_keys }, rows) {
    const own = JSON.stringify(keys.map(([name, type], at) => [join_keys?.[at] ?? name, type]));
    const ids = [...new Set(rows.map((row) => row?.schema).filter((id) => id && !(id in layouts)))];
    const found = ids.length ? await this.client.hmGet(schemas, ids.map((id) => Buffer.from(id, "hex"))) : [];
    for (const [at, id] of ids.entries()) {
      const schema = found[at] && JSON.parse(found[at]);
      if (schema && JSON.stringify(schema.keys) === own) layouts[id] = schema.features; // else rows of other entities
    }
  }
}

function rowKey(selection, entity) {
  if (selection.keys.some(([name]) => entity[name] == null)) return null;
  const text = selection.keys.map(([name, type]) => keyText(entity[name], type)).join("|");
  return `${selection.rows}${text === "" ? "%" : text}}`;
}

/** Text for a date; a number, bigint or text of microseconds, or a Date, for a timestamp; text for a decimal. */
function keyText(value, type) {
  if (type === "string") return value.replace(/[%|{}]/g, (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`);
  if (type === "uuid") return value.toLowerCase();
  if (type === "bool" || type === "date") return String(value);
  if (type.startsWith("timestamp") && value instanceof Date) return `${BigInt(value.getTime()) * 1000n}`;
  if (!type.startsWith("decimal")) return String(BigInt(value));
  const [, sign, whole, part] = /^(-?)0*(\d+)(?:\.(\d*?)0*)?$/.exec(value);
  const plain = part ? `${whole}.${part}` : whole;
  return plain === "0" ? plain : sign + plain;
}

/** Returns null for no row, and a row without a schema for one that cannot be read. */
function split(content) {
  if (content === null) return null;
  try {
    const [id, eventTimestamp, ...values] = decode(content, { useBigInt64: true });
    if (!isBytes(id) || !(eventTimestamp === null || isInteger(eventTimestamp))) return {};
    return { schema: Buffer.from(id).toString("hex"), eventTimestamp: plain(eventTimestamp), values };
  } catch {
    return {};
  }
}

/** Returns the output name, the status and the value of each feature of a row. */
function cells({ features, layouts, ttl, as_of: asOf }, row) {
  const all = (status, valueOf) => features.map((each) => [each.output, status, valueOf(each)]);
  if (row === null) return all("missing", defaultOf);
  const layout = layouts[row.schema];
  const end = layout && row.values[layout.length];
  if (!layout || row.values.length < layout.length || row.values.length > layout.length + 1 || !isInteger(end ?? 0))
    return all("invalid", () => null);
  const found = features.map((each) => [each.output, ...read(each, layout, row.values)]);
  if (found.some(([, status]) => status === "invalid")) return all("invalid", () => null);
  const isOld = ttl != null && row.eventTimestamp !== null && row.eventTimestamp < asOf - ttl;
  return asOf != null && (isOld || asOf >= end) ? all("expired", defaultOf) : found;
}

function read({ name, type }, layout, values) {
  const value = values[layout.findIndex((each) => each[0] === name && each[1] === type)];
  if (value === undefined) return ["gone", null];
  if (value === null) return ["null", null];
  if (/^array<float(32|64)>$/.test(type) && isBytes(value)) return unpacked(value, type);
  return (CHECKS[/^\w+/.exec(type)[0]] ?? is("string"))(value) ? ["present", plain(value)] : ["invalid", null];
}

function unpacked(bytes, type) {
  const Floats = type === "array<float32>" ? Float32Array : Float64Array;
  if (bytes.length % Floats.BYTES_PER_ELEMENT) return ["invalid", null];
  return ["present", Array.from(new Floats(new Uint8Array(bytes).buffer))]; // a copy, since bytes may stand unaligned
}

function defaultOf({ default: value = null, type }) {
  if (typeof value !== "string") return value;
  if (type === "float64") return FLOATS[value];
  return CHECKS[type] === isInteger ? plain(BigInt(value)) : value;
}

/** Makes numbers of the bigints, at any depth, that a number holds exactly. */
function plain(value) {
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  if (Array.isArray(value)) return value.map(plain);
  return value && isMap(value) ? Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)])) : value;
}
