// weir-world: decoder
//
// Shows bytes as hexadecimal digits, and reads them back. Change it into what you need.

export function describe() {
  return {
    name: "@NAME@",
    version: "0.1.0",
    summary: "Shows bytes as hexadecimal digits.",
    parameters: [],
  };
}

export function configure(parameters) {}

export function decode(part, data) {
  const texts = [];
  let start = 0;
  for (const end of data.ends) {
    const bytes = Array.from(data.data.subarray(start, end));
    const digits = bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("");
    texts.push({ tag: "ok", val: JSON.stringify(digits) });
    start = end;
  }
  return texts;
}

export function encode(part, json) {
  return json.map((text) => {
    const digits = JSON.parse(text);
    if (!/^([0-9a-f]{2})*$/.test(digits)) return { tag: "err", val: "no hexadecimal digits" };
    const pairs = digits.match(/../g) ?? [];
    return { tag: "ok", val: new Uint8Array(pairs.map((pair) => parseInt(pair, 16))) };
  });
}
