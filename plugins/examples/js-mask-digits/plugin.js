// Masks the digits of values, in JavaScript.
//
// Built by jco and componentize-js; it has no clock, no randomness and no files but what the host
// grants, and must give the same output for the same batch.

import { log } from "weir:plugin/host@1.0.0";

const ZERO = 0x30;
const NINE = 0x39;

let mask = "*".charCodeAt(0);

export function describe() {
  return {
    name: "js-mask-digits",
    version: "1.0.0",
    summary: "Masks the digits of values.",
    parameters: [
      {
        name: "with",
        summary: "One ASCII character that stands in a digit's place.",
        required: false,
        default: "*",
      },
    ],
  };
}

export function configure(parameters) {
  let text = "*";
  for (const [name, value] of parameters) {
    if (name !== "with") {
      throw `there is no parameter '${name}'; this plugin takes with`;
    }
    text = value;
  }
  if (text.length !== 1 || text.charCodeAt(0) > 0x7f) {
    throw "the parameter 'with' is one ASCII character";
  }
  mask = text.charCodeAt(0);
  log("debug", `digits become ${text}`);
}

export function transform(batch) {
  const { ends, data, nulls } = batch.values;
  const masked = new Uint8Array(data);
  let start = 0;
  // Row by row, as most plugins do; this one could do the whole column at once.
  for (const end of ends) {
    for (let at = start; at < end; at += 1) {
      if (masked[at] >= ZERO && masked[at] <= NINE) masked[at] = mask;
    }
    start = end;
  }
  return { values: { ends, data: masked, nulls }, refusals: [] };
}
