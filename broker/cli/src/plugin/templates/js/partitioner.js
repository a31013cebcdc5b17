// weir-world: partitioner
//
// Chooses the partition by the bytes of the key. Change it into what you need; the same key and
// count must always give the same partition.

export function describe() {
  return {
    name: "@NAME@",
    version: "0.1.0",
    summary: "Chooses partitions by the bytes of keys.",
    parameters: [],
  };
}

export function configure(parameters) {}

export function partition(keys, partitions) {
  const chosen = new Uint32Array(keys.ends.length);
  let start = 0;
  keys.ends.forEach((end, row) => {
    let hash = 0x811c9dc5;
    for (const byte of keys.data.subarray(start, end)) {
      hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
    }
    chosen[row] = hash % partitions;
    start = end;
  });
  return chosen;
}
