// Makes a component of the plugin with componentize-js: node build.mjs SOURCE WIT WORLD OUT.
// All of WASI is switched off, so that the component imports nothing but what the broker grants.

import { writeFile } from "node:fs/promises";
import { componentize } from "@bytecodealliance/componentize-js";

const [sourcePath, witPath, worldName, out] = process.argv.slice(2);
const disableFeatures = ["stdio", "random", "clocks", "http", "fetch-event"];
const { component } = await componentize({ sourcePath, witPath, worldName, disableFeatures });
await writeFile(out, component);
