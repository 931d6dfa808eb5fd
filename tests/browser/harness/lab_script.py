"""What the tests call in a page with JupyterLab."""

# Defined in the page before each load. `labTest.run` does not wait for the cell.
PAGE_SCRIPT = """
window.labTest = {
  panel() {
    const panels = [...jupyterapp.shell.widgets('main')].filter((w) => w.content?.rendermime
      && w.content?.activeCell !== undefined && w.sessionContext);
    return panels[0];
  },
  // Whether the notebook is open and its kernel connected, and with `idle` waiting for work.
  async ready(idle) {
    if (!window.jupyterapp) return false;
    await jupyterapp.started;
    const panel = labTest.panel();
    if (!panel) return false;
    await panel.context.ready;
    await panel.sessionContext.ready;
    await panel.revealed;
    const kernel = panel.sessionContext.session?.kernel;
    return kernel?.connectionStatus === 'connected' && (!idle || kernel.status === 'idle');
  },
  cell(index) { return labTest.panel().content.widgets[index]; },
  async run(index) {
    labTest.panel().content.activeCellIndex = index;
    labTest.panel().content.deselectAll();
    await jupyterapp.commands.execute('notebook:run-cell');
  },
  // `[*]` while a cell runs or waits for its turn, `[3]` afterwards, `[ ]` before; nothing while
  // JupyterLab has not put the cell into the page.
  prompt(index) {
    return labTest.cell(index).node.querySelector('.jp-InputPrompt')?.textContent.trim() ?? '';
  },
  outputs(index) { return labTest.cell(index).model.outputs?.toJSON() ?? []; },
  viewMime: 'application/vnd.jupyter.widget-view+json',
  async manager() {
    const renderer = labTest.panel().content.rendermime.createRenderer(labTest.viewMime);
    return await renderer._manager.promise;
  },
  // What stands in the outputs whose widget is not in the page.
  placeholders() {
    return labTest.panel().content.widgets.flatMap((cell) =>
      [...cell.node.querySelectorAll('.jp-OutputArea-output')]
        .map((node) => node.textContent)
        .filter((text) => /^(Loading widget|Error displaying widget)/.test(text)));
  },
  // Whether the models of all outputs are there.
  async restored() {
    const manager = await labTest.manager();
    return manager.restoredStatus && labTest.modelIds().every((id) => manager.has_model(id));
  },
  modelIds() {
    const ids = [];
    labTest.panel().content.widgets.forEach((_, index) => {
      for (const output of labTest.outputs(index)) {
        const view = output.data?.[labTest.viewMime];
        if (view) ids.push(view.model_id);
      }
    });
    return ids;
  },
};
"""
