// weir-world: transform
//
// Keeps the records whose values have a word in them: @NAME@(word=".."). Change it into what you
// need. There is no clock, no randomness, no file and no network: the same batch must always give
// the same answer.

let word = "";

export function describe() {
  return {
    name: "@NAME@",
    version: "0.1.0",
    summary: "Keeps records that have a word in them.",
    parameters: [{ name: "word", summary: "The word.", required: true, default: undefined }],
  };
}

export function configure(parameters) {
  word = new Map(parameters).get("word") ?? "";
  if (word === "") throw "the parameter 'word' is empty";
}

export function transform(batch) {
  const { ends, data } = batch.values;
  const decoder = new TextDecoder();
  const rows = [];
  let start = 0;
  ends.forEach((end, row) => {
    if (decoder.decode(data.slice(start, end)).includes(word)) rows.push(row);
    start = end;
  });
  // What is not given stays as it is; columns that are given have one entry per row that stays.
  return { rows: new Uint32Array(rows), refusals: [] };
}
