// Draws the charts in the colours of the page, and copies tables as CSV. Loads nothing.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("chart-data").textContent);
  const isDark = matchMedia("(prefers-color-scheme: dark)");
  const drawn = new Map();

  async function draw(theme) {
    for (const [id, spec] of Object.entries(data.specs)) {
      const element = document.getElementById(id);
      drawn.get(id)?.finalize();
      const options = {
        mode: "vega-lite", renderer: "svg", actions: false, defaultStyle: false, config: data.themes[theme],
        ast: true, // an interpreter instead of eval, which the policy of the page forbids
        tooltip: { theme: theme },
      };
      drawn.set(id, await vegaEmbed(element, spec, options));
    }
    document.documentElement.dataset.drawn = theme;
  }

  let queue = Promise.resolve();
  function redraw(theme) {
    delete document.documentElement.dataset.drawn;
    queue = queue.then(() => draw(theme));
  }

  const chosen = () => (isDark.matches ? "dark" : "light");
  redraw(chosen());
  isDark.addEventListener("change", () => redraw(chosen()));
  // on paper nothing can be opened: small tables are printed, the others left out
  const printed = [];
  addEventListener("beforeprint", () => {
    for (const part of document.querySelectorAll("details:not([open])")) {
      if (part.querySelectorAll("tbody tr").length > 40) continue;
      part.open = true;
      printed.push(part);
    }
    redraw("light");
  });
  addEventListener("afterprint", () => {
    for (const part of printed.splice(0)) part.open = false;
    redraw(chosen());
  });

  // what a spreadsheet would run as a formula, see OWASP, "CSV Injection"
  const formula = /^[=+\-@\t\r\uff1d\uff0b\uff0d\uff20]/;
  const number = /^[-+]?[0-9.]+$/;
  function quote(cell) {
    let text = cell.dataset.value ?? cell.textContent;
    if (formula.test(text) && !number.test(text)) text = "'" + text;
    return /[",;\t\r\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
  }

  function buildCsv(table) {
    return Array.from(table.rows, (row) => Array.from(row.cells, quote).join(",")).join("\r\n") + "\r\n";
  }

  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch { // no permission, or an old browser
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button.copy");
    if (!button) return;
    const table = document.getElementById(button.dataset.table);
    await copy(buildCsv(table));
    button.focus();
    button.dataset.copied = "";
    const lines = table.tBodies[0].rows.length;
    document.getElementById("status").textContent = `Copied ${lines} ${lines === 1 ? "row" : "rows"} as CSV.`;
    setTimeout(() => delete button.dataset.copied, 2000);
  });
})();
