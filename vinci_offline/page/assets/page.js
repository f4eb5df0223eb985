"use strict";
(() => {
  const data = JSON.parse(document.getElementById("charts").textContent);
  const drawn = new Map();
  const hidden = new Set();
  const number = (value) => Number(value.toPrecision(4)).toLocaleString("en", { maximumSignificantDigits: 4 });
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const short = (value) => {
    const size = Math.abs(value);
    if (size >= 1e6) return value / 1e6 + "M";
    if (size >= 1e4) return value / 1e3 + "k";
    return size > 0 && size < 1e-3 ? value.toExponential() : String(Number(value.toPrecision(6)));
  };

  const room = (steps) => {
    const half = (steps[1] - steps[0]) / 2;
    return (_, low, high) => [low - half, high + half];
  };

  function options(figure, chart) {
    const bars = chart.kind === "bars" || chart.kind === "choices";
    const series = [{}];
    const bands = [];
    for (const each of chart.series) {
      const own = colour(each.place < 0 ? "--soft" : "--p" + (each.place % 8));
      const filled = bars ? "aa" : chart.kind === "shares" && each.place < 0 ? "44" : null;
      const show = !hidden.has(figure.dataset.section + "/" + each.place);
      const dash = each.place >= 8 ? [8, 4] : []; // colours repeat after eight
      const points = { show: chart.kind === "dots" || (!chart.kind && chart.steps.length < 25), size: chart.kind ? 4 : 5, fill: own, width: 0, stroke: own };
      const paths = { dots: () => null, bars: uPlot.paths.bars({ size: [0.95] }), choices: uPlot.paths.bars({ size: [0.95] }), shares: uPlot.paths.stepped({ align: 1 }) }[chart.kind];
      series.push({ label: each.name, stroke: own, width: 2, dash, spanGaps: true, show, points, paths, fill: filled === null ? undefined : own + filled });
      for (let edge = 0; edge < 2; edge++) {
        series.push({ stroke: "transparent", width: 0, spanGaps: true, show, paths: chart.kind === "shares" ? paths : undefined, points: { show: false } });
      }
      if (!chart.kind || chart.kind === "shares") bands.push({ series: [series.length - 1, series.length - 2], fill: own + "22" });
    }
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 }, font: "12px system-ui, sans-serif" };
    const plot = figure.querySelector(".plot");
    const fromZero = bars || chart.kind === "shares";
    return {
      width: plot.clientWidth,
      height: plot.closest(".returns") ? 320 : 190,
      series,
      bands,
      scales: { x: { time: false, ...(bars ? { range: chart.kind === "choices" ? (_, low, high) => [Math.round(low) - 0.5, Math.round(high) + 0.5] : room(chart.steps) } : {}) }, y: fromZero ? { range: (_, low, high) => [0, high * 1.05] } : {} },
      axes: [
        { ...axis, space: 70, values: (_, ticks) => ticks.map(short) },
        { ...axis, size: 64, values: (_, ticks) => ticks.map(short) },
      ],
      legend: { show: false },
      cursor: { points: { show: false }, drag: { x: true, y: false } },
      hooks: { setCursor: [(plotted) => tell(figure, chart, plotted.cursor.idx)] },
    };
  }

  function tell(figure, chart, index) {
    const readout = figure.querySelector(".readout");
    if (index === null || index === undefined) {
      readout.textContent = "";
      return;
    }
    const parts = [];
    const together = chart.kind === "choices" ? chart.series.length : 1; // bars of one choice stand side by side
    chart.series.forEach((each, place) => {
      const at = together === 1 ? index : index - (index % together) + place;
      const value = each.mean[at];
      if (value === null || hidden.has(figure.dataset.section + "/" + each.place)) return;
      const spread = each.low[at] === each.high[at] ? "" : ` (${number(each.low[at])} to ${number(each.high[at])})`;
      parts.push(`${each.name} ${number(value)}${spread}`.trim());
    });
    const where = together === 1 ? chart.steps[index] : Math.round(chart.steps[index]);
    readout.textContent = `${chart.of ?? "Step"} ${where.toLocaleString("en")}: ${parts.join("; ") || "no value"}`;
  }

  function draw(figure) {
    const chart = data[figure.id];
    const plot = figure.querySelector(".plot");
    if (!plot.clientWidth) return;
    drawn.get(figure)?.destroy();
    const columns = [chart.steps];
    for (const each of chart.series) columns.push(each.mean, each.low, each.high);
    drawn.set(figure, new uPlot(options(figure, chart), columns, plot));
  }

  function walk(figure, event) {
    const plotted = drawn.get(figure);
    if (!plotted) return;
    const steps = data[figure.id].steps;
    const last = steps.length - 1;
    const now = plotted.cursor.idx ?? -1;
    const next = { ArrowRight: Math.min(last, now + 1), ArrowLeft: Math.max(0, now < 0 ? last : now - 1), Home: 0, End: last }[event.key];
    if (event.key === "Escape") plotted.setScale("x", { min: steps[0], max: steps[last] });
    if (next === undefined) return;
    event.preventDefault();
    plotted.setCursor({ left: plotted.valToPos(steps[next], "x"), top: 0 });
  }

  const figures = [...document.querySelectorAll(".chart")];
  const resized = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const figure = target.closest(".chart");
      const plotted = drawn.get(figure);
      if (!plotted) draw(figure);
      else if (target.clientWidth && plotted.width !== target.clientWidth) plotted.setSize({ width: target.clientWidth, height: plotted.height });
    }
  });
  for (const figure of figures) {
    const plot = figure.querySelector(".plot");
    plot.addEventListener("keydown", (event) => walk(figure, event));
    draw(figure);
    resized.observe(plot); // also draws a chart when its panel is opened
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => [...drawn.keys()].forEach(draw));

  for (const button of document.querySelectorAll("button[data-place]")) {
    button.addEventListener("click", () => {
      const key = button.dataset.section + "/" + button.dataset.place;
      const show = hidden.has(key);
      show ? hidden.delete(key) : hidden.add(key);
      button.setAttribute("aria-pressed", String(show));
      for (const dot of document.querySelectorAll("svg.dots g")) {
        if (dot.dataset.section + "/" + dot.dataset.place === key) dot.classList.toggle("off", !show);
      }
      for (const [figure, plotted] of drawn) {
        if (figure.dataset.section !== button.dataset.section) continue;
        const chart = data[figure.id];
        const index = chart.series.findIndex((each) => String(each.place) === button.dataset.place);
        if (index < 0) continue;
        plotted.batch(() => {
          for (let edge = 0; edge < 3; edge++) plotted.setSeries(1 + 3 * index + edge, { show });
        });
        tell(figure, chart, plotted.cursor.idx);
      }
    });
  }
  document.querySelectorAll(".episodes").forEach(browse);

  function element(name, attributes, ...children) {
    const made = Object.assign(document.createElement(name), attributes);
    made.append(...children);
    return made;
  }

  function browse(place) {
    const rows = data[place.dataset.rows];
    const titles = ["episode", "return", "rows", "end"];
    const size = 20;
    let page = 0, column = 0, down = false, kept = rows;
    const filter = element("select", { id: place.dataset.rows + "-filter" });
    for (const [value, text] of [["", "all episodes"], ["unusual", "unusual ones"], ["terminal", "ended by a terminal"], ["timeout", "ended by a timeout"], ["fragment", "fragments"], ["none", "without an end"]]) {
      filter.append(element("option", { value, textContent: text }));
    }
    const label = element("label", { textContent: "Show " });
    label.append(filter);
    const before = element("button", { type: "button", textContent: "Previous" });
    const after = element("button", { type: "button", textContent: "Next" });
    const told = element("span", { className: "told" });
    told.setAttribute("aria-live", "polite");
    const head = element("tr", {});
    const body = element("tbody", {});
    const table = element("table", {}, element("caption", { textContent: "Episodes; choose a title to sort by it" }), element("thead", {}, head), body);
    titles.forEach((title, index) => {
      const button = element("button", { type: "button", textContent: title });
      const cell = element("th", { scope: "col" }, button);
      button.addEventListener("click", () => {
        down = column === index && !down;
        column = index;
        page = 0;
        show();
      });
      head.append(cell);
    });
    const compare = (one, other) => {
      const [a, b] = [one[column], other[column]];
      if (a === b) return one[0] - other[0];
      if (a === null || b === null) return a === null ? 1 : -1;
      return (a < b ? -1 : 1) * (down ? -1 : 1);
    };
    const named = (number) => {
      const text = number.toLocaleString("en");
      const strip = document.getElementById(`${place.dataset.rows}-strip-${number}`);
      if (!strip) return text;
      const link = element("a", { href: "#" + strip.id, textContent: text + ", frames" });
      link.addEventListener("click", () => { strip.open = true; });
      return link;
    };
    function show() {
      kept = rows.filter((row) => !filter.value || (filter.value === "unusual" ? row[4] : row[3] === filter.value)).sort(compare);
      const pages = Math.max(1, Math.ceil(kept.length / size));
      [...head.children].forEach((cell, index) => cell.setAttribute("aria-sort", index !== column ? "none" : down ? "descending" : "ascending"));
      body.replaceChildren(...kept.slice(page * size, (page + 1) * size).map((row) => element("tr", {},
        element("th", { scope: "row" }, named(row[0])),
        element("td", { textContent: row[1] === null ? "not known" : number(row[1]) }),
        element("td", { textContent: row[2].toLocaleString("en") }),
        element("td", { textContent: row[3] + (row[4] ? ", unusual" : "") }))));
      told.textContent = `${kept.length.toLocaleString("en")} ${kept.length === 1 ? "episode" : "episodes"}, page ${page + 1} of ${pages}`;
      before.disabled = page === 0;
      after.disabled = page >= pages - 1;
    }
    filter.addEventListener("change", () => { page = 0; show(); });
    before.addEventListener("click", () => { page--; show(); });
    after.addEventListener("click", () => { page++; show(); });
    const wide = element("div", { className: "wide" }, table);
    place.append(element("div", { className: "bar" }, label, before, after, told), wide);
    show();
  }

  for (const button of document.querySelectorAll("button.copy")) {
    button.addEventListener("click", async () => {
      const code = button.parentElement.querySelector("code");
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code); // pages of files may not write to the clipboard everywhere
        button.textContent = "Selected: press Ctrl-C";
      }
    });
  }
})();
