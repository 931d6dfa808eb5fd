// A page's own connection to a kernel of the server that the page comes from.
const { KernelConnection, ServerConnection } = globalThis["@jupyterlab/services"];
const VIEW = "application/vnd.jupyter.widget-view+json";

// A kernel of which there is nothing but its name: the connection opens, and nobody answers.
class NobodyThere {
  protocol = "";
  constructor() {
    setTimeout(() => this.onopen?.({ target: this }));
  }
  send() {}
  close() {}
}

/** The connection to a kernel; to none, where `id` is empty. */
export function connect({ token, id }) {
  const baseUrl = location.origin;
  return new KernelConnection({
    model: { id, name: "python3" },
    clientId: id ? undefined : "",
    serverSettings: ServerConnection.makeSettings({
      ...(id ? { token, appendToken: true } : { WebSocket: NobodyThere }),
      baseUrl,
      wsUrl: baseUrl.replace("http", "ws"),
    }),
  });
}

/** Run a cell, and `show` the widgets that it shows, by their ids. Does not wait for its end. */
export function run(connection, code, show) {
  connection.requestExecute({ code }).onIOPub = ({ content }) => {
    if (content.ename) console.error(content.traceback.join("\n"));
    const view = content.data?.[VIEW];
    if (view) void show(view.model_id);
  };
}

/** Where require.js finds a module; `address` has a place for the version. */
export function register(name, version, address) {
  const path = address.replace("{version}", version).replace(/\.js$/, "");
  requirejs.config({ paths: { [name]: path } });
}
