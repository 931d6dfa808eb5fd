// What VS Code and its Jupyter extension do around their own renderer in the page of a notebook's
// outputs. `vscode.posted` holds what would be sent to the extension.
import { activate } from "./@vscode/jupyter-ipywidgets8/dist/ipywidgets.js";
import { connect, register, run } from "./kernel.js";

const STATE = "application/vnd.jupyter.widget-state+json";

globalThis.vscode = {
  posted: [],

  /**
   * Make the widget manager. `sources` are the addresses of the modules' scripts; with a saved `state`
   * there is no kernel.
   */
  async start({ token, kernel, sources, theme, state = null }) {
    document.body.className = theme;
    const connection = connect({ token, id: state ? "" : kernel });
    activate();
    globalThis.vscIPyWidgets8.load();
    const loader = {
      widgetsRegisteredInRequireJs: new Set(),
      async loadWidgetScript(name, version) {
        register(name, version, sources[name]);
        this.widgetsRegisteredInRequireJs.add(name);
      },
      successHandler() {},
      errorHandler: (name, module, version, error) => {
        console.error(`${module} ${version} has no ${name}: ${error}`);
      },
    };
    const log = () => {};
    const saved = state && { [STATE]: state };
    const manager = new vscIPyWidgets.WidgetManager(connection, null, loader, log, saved);
    Object.assign(vscode, { connection, manager, isSaved: saved !== null, shown: [] });
    if (saved) {
      const notebook = { metadata: { get: () => saved } };
      await manager.restoreWidgets(notebook, { loadKernel: false, loadNotebook: true });
    }
  },

  run: (code) => run(vscode.connection, code, vscode.show),

  /** Show a widget in an output of its own. */
  async show(id) {
    const output = document.createElement("div");
    output.className = "cell-output-ipywidget-background";
    document.body.append(output);
    const { manager, isSaved } = vscode;
    const model = await manager.get_model(id);
    if (isSaved) model.comm_live = false;
    const view = await manager.create_view(model, { el: output });
    if (isSaved) view.initialize({ model, el: output, options: {} });
    const widget = await manager.display_view({ model_id: id }, view, { node: output });
    vscode.shown.push({ id, output, widget });
  },

  /** What happens to an output that is scrolled far out of sight, or deleted. */
  hide(index) {
    const [{ output, widget }] = vscode.shown.splice(index, 1);
    widget.dispose();
    output.remove();
  },
};

for (const name of ["alert", "open"]) {
  window[name] = () => {
    throw new Error(`window.${name} is not there in VS Code`);
  };
}

/** A link to data is no download here: what it holds is sent to the extension, which saves it. */
document.body.addEventListener("click", (event) => {
  const link = event.composedPath().find((part) => part instanceof HTMLAnchorElement && part.href);
  if (!link) return;
  event.preventDefault();
  const { href, download } = link;
  if (href.startsWith("data:")) vscode.posted.push({ name: download, data: href });
  if (!href.startsWith("blob:")) return;
  void (async () => {
    const reader = new FileReader();
    reader.onload = () => vscode.posted.push({ name: download, data: reader.result });
    reader.readAsDataURL(await (await fetch(href)).blob());
  })();
});
