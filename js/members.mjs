// Shortens the names of the members of classes and interfaces. esbuild shortens local names by itself,
// but leaves the names of members alone, since it does not know who else uses them; TypeScript does.
import ts from "typescript";

/** What esbuild may shorten; no other name ends like this. */
export const MEMBER = /_\$$/;

/** Where interfaces describe what others write or read as well: the kernel, ipywidgets, bqplot. */
const SHARED = /\/src\/(protocol|host)\.ts$/;

/**
 * The sources of a project as JavaScript with all members of classes and interfaces renamed, by file name.
 *
 * Throws where the renamed sources do not fit together, as where a literal is no type's in particular,
 * and where a renamed name would go to somebody who does not know its type.
 */
export function withMembersMarked(configFile) {
  const { fileNames: all, options } = ts.getParsedCommandLineOfConfigFile(configFile, {}, ts.sys);
  // Tests are not in the bundle.
  const fileNames = all.filter((name) => name.includes("/src/"));
  const sources = new Map(fileNames.map((name) => [name, ts.sys.readFile(name)]));
  const edits = new Map(fileNames.map((name) => [name, []]));
  const service = serviceFor(sources, options);
  for (const fileName of fileNames) {
    const visit = (node) => {
      if (isMember(node)) {
        const found = service.findRenameLocations(fileName, node.name.getStart(), false, false, {
          providePrefixAndSuffixTextForRename: true,
        });
        for (const edit of found ?? []) edits.get(edit.fileName)?.push(edit);
      }
      ts.forEachChild(node, visit);
    };
    visit(service.getProgram().getSourceFile(fileName));
  }
  const renamed = new Map(
    fileNames.map((name) => [name, edited(sources.get(name), edits.get(name))]),
  );
  const program = serviceFor(renamed, options).getProgram();
  const problems = ts.getPreEmitDiagnostics(program);
  const leaks = fileNames.flatMap((name) => leaksOf(program, program.getSourceFile(name)));
  if (leaks.length) throw new Error(`write the names out one by one:\n${leaks.join("\n")}`);
  if (problems.length) {
    const host = { ...ts.sys, getCanonicalFileName: (name) => name, getNewLine: () => "\n" };
    throw new Error(
      `name the type itself where a value is made or passed on:\n${ts.formatDiagnostics(problems, host)}`,
    );
  }
  // Not left to esbuild, which would miss the members that a constructor's parameters declare.
  const javascript = (text) =>
    ts.transpileModule(text, {
      compilerOptions: options,
      transformers: { after: [withoutEmptyFields] },
    }).outputText;
  return new Map(fileNames.map((name) => [name, javascript(renamed.get(name))]));
}

/** Without the fields that only say that there will be one: what a class has, its constructor sets. */
function withoutEmptyFields(context) {
  const visit = (node) =>
    ts.isPropertyDeclaration(node) && !node.initializer
      ? undefined
      : ts.visitEachChild(node, visit, context);
  return (source) => ts.visitNode(source, visit);
}

function serviceFor(sources, options) {
  return ts.createLanguageService({
    getScriptFileNames: () => [...sources.keys()],
    getScriptVersion: () => "1",
    getScriptSnapshot: (name) =>
      ts.sys.fileExists(name)
        ? ts.ScriptSnapshot.fromString(sources.get(name) ?? ts.sys.readFile(name))
        : undefined,
    getCurrentDirectory: () => process.cwd(),
    getCompilationSettings: () => options,
    getDefaultLibFileName: ts.getDefaultLibFilePath,
    fileExists: ts.sys.fileExists,
    readFile: ts.sys.readFile,
  });
}

/** Where an object with renamed members is spread into one of another type, or listed by name. */
function leaksOf(program, source) {
  const checker = program.getTypeChecker();
  const leaks = [];
  const look = (value, target) => {
    const names = checker.getTypeAtLocation(value).getApparentProperties();
    const lost = names.find(({ name }) => MEMBER.test(name) && !target?.getProperty(name));
    const { line } = source.getLineAndCharacterOfPosition(value.getStart());
    if (lost) leaks.push(`${source.fileName}:${line + 1}: ${lost.name}`);
  };
  const visit = (node) => {
    if (ts.isSpreadAssignment(node)) look(node.expression, checker.getContextualType(node.parent));
    if (ts.isCallExpression(node) && node.expression.getText().startsWith("Object.")) {
      node.arguments.forEach((value) => look(value));
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return leaks;
}

function isMember(node) {
  if (ts.isPropertySignature(node) || ts.isMethodSignature(node)) {
    // A single letter can hardly be shortened, and may be another library's as well. What is optional
    // may come under its own name from a value of another type, and nothing would be missed.
    const long = node.name.getText().length > 1 && !node.questionToken;
    const own = long && !SHARED.test(node.getSourceFile().fileName);
    return own && ts.isInterfaceDeclaration(node.parent);
  }
  if (ts.isParameter(node)) return ts.isParameterPropertyDeclaration(node, node.parent);
  const kinds = [ts.isPropertyDeclaration, ts.isMethodDeclaration, ts.isGetAccessor];
  return ts.isClassDeclaration(node.parent ?? node) && kinds.some((is) => is(node));
}

function edited(text, edits) {
  // A getter and its setter have the same places.
  const places = new Map(edits.map((edit) => [edit.textSpan.start, edit]));
  for (const edit of [...places.values()].sort((a, b) => b.textSpan.start - a.textSpan.start)) {
    const { start, length } = edit.textSpan;
    const name = `${edit.prefixText ?? ""}${text.slice(start, start + length)}_$${edit.suffixText ?? ""}`;
    text = text.slice(0, start) + name + text.slice(start + length);
  }
  return text;
}
