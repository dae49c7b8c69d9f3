// Loads configurations as Capacitor does (its own loader is bundled into other programs, and not on npm by itself
// here): .ts is transpiled to CommonJS and run, .js is run, .json is parsed. Prints a list of what they are.
//
//	node load.cjs TYPESCRIPT FILE...
const fs = require('node:fs')
const ts = require(process.argv[2])

// What the configurations of the test use from elsewhere.
Object.assign(globalThis, { a: 1, f: () => 2, defineConfig: (c) => c })

require.extensions['.ts'] = (module, name) => {
  const { outputText } = ts.transpileModule(fs.readFileSync(name, 'utf8'), {
    fileName: name,
    compilerOptions: { module: ts.ModuleKind.CommonJS, esModuleInterop: true, strict: true, target: ts.ScriptTarget.ES2017 },
  })
  module._compile(outputText, name)
}

const load = (name) => {
  if (name.endsWith('.json')) return JSON.parse(fs.readFileSync(name, 'utf8').replace(/^\ufeff/, ''))
  const m = require(name)
  return m.default ?? m
}
console.log(JSON.stringify(process.argv.slice(3).map(load)))
