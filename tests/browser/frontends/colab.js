// A widget manager that treats widgets as Colab's does (googlecolab/colab-cdn-widget-manager): it has no
// kernel but a channel for each model, hands binary data of messages over as Uint8Array, gives no list
// of them where a message has none, and asks the notebook for a model only when one is needed.
import { connect, register, run } from "./kernel.js";

const TARGET = "jupyter.widget";
const load = (name) => new Promise((done, fail) => requirejs([name], done, fail));
const { HTMLManager } = await load("@jupyter-widgets/html-manager");

/** The bytes of a message, each part in an array of its own. */
function bytesOf(message) {
  return message.buffers?.map(
    ({ buffer, byteOffset, byteLength }) =>
      new Uint8Array(buffer.slice(byteOffset, byteOffset + byteLength)),
  );
}

/** The state in a message, with its binary parts in their places. */
function stateOf(message) {
  const { state, buffer_paths } = message.content.data;
  const bytes = bytesOf(message);
  buffer_paths?.forEach((path, i) => {
    const last = path.at(-1);
    path.slice(0, -1).reduce((part, key) => part[key], state)[last] = bytes[i];
  });
  return state;
}

/** What a model gets as its comm. Messages that come before anybody listens are kept. */
class Channel {
  target_name = "";
  listener = null;
  kept = [];

  constructor(comm) {
    this.comm = comm;
    this.comm_id = comm.commId;
    comm.onMsg = (message) => {
      if (this.listener) this.deliver(message);
      else this.kept.push(message);
    };
  }
  deliver(message) {
    const { comm_id, data } = message.content;
    const buffers = message.buffers?.length ? bytesOf(message) : undefined;
    queueMicrotask(() => this.listener({ content: { comm_id, data }, buffers }));
  }
  on_msg(listener) {
    this.listener = listener;
    for (const message of this.kept.splice(0)) this.deliver(message);
  }
  on_close(listener) {
    this.comm.onClose = () => listener(undefined);
  }
  send(data, callbacks, metadata, buffers) {
    this.comm.send(data, metadata, buffers);
    const idle = { content: { execution_state: "idle" } };
    queueMicrotask(() => callbacks?.iopub?.status?.(idle));
    return "";
  }
  close() {
    this.comm.close();
  }
}

class Manager extends HTMLManager {
  models = new Map();

  async loadClass(className, name, version) {
    const isOurs = name.startsWith("@jupyter-widgets/");
    if (!isOurs) register(name, version, `https://cdn.jsdelivr.net/npm/${name}@{version}/dist/index`);
    return (await load(name))[className];
  }
  get_model(id) {
    if (!this.models.has(id)) this.models.set(id, this.make(id));
    return this.models.get(id);
  }
  async make(id) {
    const { state, comm } = colab.opened.get(id) ?? (await colab.ask(id));
    const options = {
      model_name: state._model_name,
      model_module: state._model_module,
      model_module_version: state._model_module_version,
      model_id: id,
      comm,
    };
    return await this.new_model(options, state);
  }
}

globalThis.colab = {
  opened: new Map(),
  shown: [],

  start({ token, kernel, theme }) {
    document.documentElement.setAttribute("theme", theme);
    colab.manager = new Manager();
    colab.connection = connect({ token, id: kernel });
    colab.connection.registerCommTarget(TARGET, (comm, message) => {
      colab.opened.set(comm.commId, { state: stateOf(message), comm: new Channel(comm) });
    });
  },

  run: (code) => run(colab.connection, code, colab.show),

  /** The state and the channel of a model that was made before this page was loaded. */
  async ask(id) {
    const comm = colab.connection.createComm(TARGET, id);
    const answer = await new Promise((done) => {
      // An update of single traits may come before the whole state.
      comm.onMsg = (message) => {
        const { method, state } = message.content.data;
        if (method === "update" && "_model_module" in state) done(message);
      };
      comm.send({ method: "request_state" });
    });
    return { state: stateOf(answer), comm: new Channel(comm) };
  },

  /** Show a widget in an output. */
  async show(id) {
    const view = await colab.manager.create_view(await colab.manager.get_model(id));
    for (const type of ["before-attach", "after-attach"]) {
      if (type === "after-attach") document.body.append(view.el);
      view.luminoWidget.processMessage({ type, isConflatable: false, conflate: () => false });
    }
    colab.shown.push({ id });
  },
};
