// Shortens the names of private members. esbuild shortens local names by itself, but leaves the
// names of members alone, since it does not know who else uses them; TypeScript does.
import { readFileSync } from "node:fs";
import ts from "typescript";

/** What esbuild may shorten; no other name ends like this. */
export const PRIVATE = /_\$$/;

/** The sources of a project as JavaScript with all private members renamed, by file name. */
export function withPrivatesMarked(configFile) {
  const { fileNames, options } = ts.getParsedCommandLineOfConfigFile(configFile, {}, ts.sys);
  const service = ts.createLanguageService({
    getScriptFileNames: () => fileNames,
    getScriptVersion: () => "1",
    getScriptSnapshot: (name) =>
      ts.sys.fileExists(name) ? ts.ScriptSnapshot.fromString(ts.sys.readFile(name)) : undefined,
    getCurrentDirectory: () => process.cwd(),
    getCompilationSettings: () => options,
    getDefaultLibFileName: ts.getDefaultLibFilePath,
    fileExists: ts.sys.fileExists,
    readFile: ts.sys.readFile,
  });
  const edits = new Map(fileNames.map((name) => [name, []]));
  const program = service.getProgram();
  for (const fileName of fileNames) {
    const visit = (node) => {
      if (isPrivate(node)) {
        const found = service.findRenameLocations(fileName, node.name.getStart(), false, false, {
          providePrefixAndSuffixTextForRename: true,
        });
        for (const edit of found ?? []) edits.get(edit.fileName)?.push({ ...edit, node });
      }
      ts.forEachChild(node, visit);
    };
    visit(program.getSourceFile(fileName));
  }
  // Not left to esbuild, which would miss the members that a constructor's parameters declare.
  const javascript = (name) =>
    ts.transpileModule(edited(name, edits.get(name)), { compilerOptions: options }).outputText;
  return new Map(fileNames.map((name) => [name, javascript(name)]));
}

function isPrivate(node) {
  return (
    ts.canHaveModifiers(node) &&
    ts.getModifiers(node)?.some(({ kind }) => kind === ts.SyntaxKind.PrivateKeyword)
  );
}

function edited(fileName, edits) {
  let text = readFileSync(fileName, "utf8");
  for (const edit of edits.sort((a, b) => b.textSpan.start - a.textSpan.start)) {
    const { start, length } = edit.textSpan;
    const name = `${edit.prefixText ?? ""}${text.slice(start, start + length)}_$${edit.suffixText ?? ""}`;
    text = text.slice(0, start) + name + text.slice(start + length);
  }
  return text;
}
