// Makes a component of the plugin with componentize-js: node build.mjs SOURCE WIT WORLD OUT.
// Of WASI it imports what the broker grants a fixed part of, and no HTTP; a plugin that imports
// WASI has the budget of plugins that bring a language runtime.

import { writeFile } from "node:fs/promises";
import { componentize } from "@bytecodealliance/componentize-js";

const [sourcePath, witPath, worldName, out] = process.argv.slice(2);
const disableFeatures = ["http", "fetch-event"];
const { component } = await componentize({ sourcePath, witPath, worldName, disableFeatures });
await writeFile(out, component);
