// The page's script: charts by Observable Plot, tables that sort, a switch for the colours. Everything it shows is in the
// page already, as text; without scripts only the charts are missing. Text from the data goes in as text, never as markup.
(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("data").textContent);
  const colour = { integer: "var(--ours)", float: "var(--float)", peer: "var(--peer)" };
  const ink = { color: "var(--ink)", background: "transparent", fontSize: "12px" };
  const tip = { fill: "var(--card)", stroke: "var(--line)", fontSize: 12, lineHeight: 1.35 };
  const number = (v, digits = 2) => v == null ? "–" : v.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }).replace("-", "−");
  const short = (text, most) => { const c = [...text]; return c.length > most ? c.slice(0, most - 1).join("") + "…" : text; };
  const byId = (id) => document.getElementById(id);

  // Each draws one chart for a width in pixels; null where there is nothing to draw.
  const charts = {
    top1,
    latency: (w) => bars(w, (c) => c.median_ms, 3),
    bytes: (w) => bars(w, (c) => c.bytes == null ? null : c.bytes / 1e3, 0),
    pareto_front: (w) => paretoFront(w, true),
    loss: (w) => paretoFront(w, false),
    reliability, confidence,
    corruptions: (w) => pairs(w, data.corruptions), attacks: (w) => pairs(w, data.attacks),
    layers, codes: (w) => codes(w, "histogram"), weights: (w) => codes(w, "weight_histogram"),
    classes,
  };

  // An accuracy has an interval, and its axis does not begin at 0: a dot, whose length nobody compares.
  function top1(width) {
    const rows = data.contenders.filter((c) => c.top1_interval);
    if (!rows.length) return null;
    const domain = [d3.min(rows, (c) => c.top1_interval[0]), d3.max(rows, (c) => c.top1_interval[1])];
    const title = (c) => `${c.name}\n${number(c.top1)} %, 95 %: ${number(c.top1_interval[0])} to ${number(c.top1_interval[1])}`;
    const fill = (c) => colour[c.kind];
    return Plot.plot({
      width, height: 34 * rows.length + 34, marginLeft: 20, marginRight: 62, marginTop: 4, marginBottom: 28, style: ink,
      x: { domain, nice: true, ticks: 4, label: null, tickSize: 0 }, y: { type: "band", domain: rows.map((c) => c.name), axis: null, padding: 0.2 },
      marks: [
        Plot.gridX({ ticks: 4, stroke: "var(--line)", strokeOpacity: 1 }),
        Plot.text(rows, { frameAnchor: "left", y: "name", text: "name", textAnchor: "start", dx: -16, dy: -7, fill: "var(--muted)", stroke: "var(--card)", strokeWidth: 4 }),
        Plot.ruleY(rows, { y: "name", x1: (c) => c.top1_interval[0], x2: (c) => c.top1_interval[1], stroke: fill, strokeWidth: 2.5, strokeOpacity: 0.55, dy: 7 }),
        Plot.dot(rows, { y: "name", x: "top1", r: 4.5, fill, dy: 7, title, tip }),
        Plot.text(rows, { x: (c) => c.top1_interval[1], y: "name", text: (c) => number(c.top1), textAnchor: "start", dx: 6, dy: 7, fontWeight: 600, fill: "var(--ink)", stroke: "var(--card)", strokeWidth: 4 }),
      ],
    });
  }

  function bars(width, value, digits) {
    const rows = data.contenders.filter((c) => value(c) != null);
    if (!rows.length) return null;
    return Plot.plot({
      width, height: 34 * rows.length + 34, marginLeft: 16, marginRight: 62, marginTop: 4, marginBottom: 28, style: ink,
      x: { domain: [0, d3.max(rows, value)], nice: true, ticks: 4, label: null, tickSize: 0 }, y: { domain: rows.map((c) => c.name), axis: null, padding: 0.2 },
      marks: [
        Plot.gridX({ ticks: 4, stroke: "var(--line)", strokeOpacity: 1 }),
        Plot.text(rows, { frameAnchor: "left", y: "name", text: "name", textAnchor: "start", dx: 2, dy: -8, fill: "var(--muted)", stroke: "var(--card)", strokeWidth: 4 }),
        Plot.barX(rows, { x1: 0, x2: value, y: "name", fill: (c) => colour[c.kind], insetTop: 15, rx: 2, tip, title: (c) => `${c.name}\n${number(value(c), digits)}` }),
        Plot.text(rows, { x: value, y: "name", text: (c) => number(value(c), digits), textAnchor: "start", dx: 6, dy: 7, fontWeight: 600, fill: "var(--ink)" }),
      ],
    });
  }

  function paretoFront(width, measured) {
    const found = data.pareto_front;
    if (!found) return null;
    const points = found.points.filter((p) => measured ? p.interval : p.predicted_loss > 0 && !p.is_uniform);
    if (!points.length) return null;
    const fill = (p) => p.is_found ? colour.integer : colour.float;
    const title = (p) => `${p.text}\n${found.unit}: ${number(p.cost)}\n` + (p.interval ? `drop ${number(p.drop)} points, 95 %: ${number(p.interval[0])} to ${number(p.interval[1])}` : `predicted loss ${p.predicted_loss.toPrecision(3)} nats`);
    const y = measured ? { label: null } : { type: "log", label: null, tickFormat: ".0e", ticks: 4 };
    const marks = measured ? [
      Plot.ruleY([found.max_drop], { stroke: "var(--bad)", strokeDasharray: "5 4" }),
      Plot.text([found.max_drop], { y: (d) => d, frameAnchor: "right", text: () => "budget", dy: -7, textAnchor: "end", fill: "var(--bad)" }),
      Plot.ruleX(points, { x: "cost", y1: (p) => p.interval[0], y2: (p) => p.interval[1], stroke: fill, strokeWidth: 1.5 }),
      Plot.dot(points, { x: "cost", y: "drop", r: (p) => p.is_found ? 6 : 4, fill, title, tip }),
      Plot.text(points.filter((p) => p.is_found || p.is_uniform), { x: "cost", y: (p) => p.interval[0], dy: 12, text: (p) => p.is_found ? "found" : "8 bits", fill, fontWeight: 600 }),
    ] : [Plot.dot(points, { x: "cost", y: "predicted_loss", r: (p) => p.is_found ? 6 : 4, fill: (p) => p.interval ? fill(p) : "var(--card)", stroke: fill, title, tip })];
    return Plot.plot({
      width, height: 270, marginLeft: 48, marginBottom: 38, marginRight: 16, style: ink, grid: true,
      x: { label: found.unit, labelAnchor: "center", labelArrow: "none", nice: true, inset: 10 }, y, r: { type: "identity" }, marks,
    });
  }

  const called = { float: "float", integer: "integers" };

  // On the dashed line a model is right as often as it is sure; below it, it is too sure.
  function reliability(width) {
    const rows = data.reliability;
    if (!rows.length) return null;
    const most = d3.max(rows, (b) => b.images);
    const title = (b) => `${called[b.kind]}, ${b.images.toLocaleString("en")} images\nsure ${number(b.confidence, 1)} %, right ${number(b.accuracy, 1)} %`;
    const fill = (b) => colour[b.kind];
    return Plot.plot({
      width, height: 270, marginLeft: 40, marginBottom: 38, marginRight: 16, style: ink, grid: true, r: { type: "identity" },
      x: { domain: [0, 100], label: "sure, %", labelAnchor: "center", labelArrow: "none" }, y: { domain: [0, 100], label: null },
      color: { domain: ["float", "integers"], range: [colour.float, colour.integer], legend: true },
      marks: [
        Plot.line([[0, 0], [100, 100]], { stroke: "var(--muted)", strokeDasharray: "5 4" }),
        Plot.line(rows, { x: "confidence", y: "accuracy", z: "kind", stroke: fill, strokeWidth: 1.5, strokeOpacity: 0.6 }),
        Plot.dot(rows, { x: "confidence", y: "accuracy", r: (b) => 2.5 + 5 * Math.sqrt(b.images / most), fill, fillOpacity: 0.85, title, tip }),
      ],
    });
  }

  function confidence(width) {
    const rows = data.reliability;
    if (!rows.length) return null;
    const half = (b) => (b.hi - b.lo) / 2, first = (b) => b.kind === "float";
    const title = (b) => `${called[b.kind]}, sure ${b.lo} to ${b.hi} %\n${b.images.toLocaleString("en")} images`;
    return Plot.plot({
      width, height: 270, marginLeft: 52, marginBottom: 38, marginRight: 16, style: ink,
      x: { domain: [0, 100], label: "sure, %", labelAnchor: "center", labelArrow: "none" }, y: { label: null, grid: true, ticks: 5 },
      color: { domain: ["float", "integers"], range: [colour.float, colour.integer], legend: true },
      marks: [
        Plot.rectY(rows, { x1: (b) => first(b) ? b.lo : b.lo + half(b), x2: (b) => first(b) ? b.lo + half(b) : b.hi, y: "images", fill: (b) => colour[b.kind], inset: 0.8, title, tip }),
        Plot.ruleY([0], { stroke: "var(--muted)" }),
      ],
    });
  }

  // Two accuracies of the same pictures: a dot each, and what is between them.
  function pairs(width, rows) {
    if (!rows.length) return null;
    const indexed = rows.map((row, i) => ({ ...row, i }));
    const marginLeft = Math.min(190, width / 2.2), letters = Math.floor((marginLeft - 10) / 7.4);
    const title = (row) => `${row.name}\nfloat ${number(row.float)} %\nintegers ${number(row.integer)} %`;
    const place = { y: "i" };
    return Plot.plot({
      width, height: 20 * rows.length + 40, marginLeft, marginTop: 24, marginBottom: 8, marginRight: 20, style: ink,
      x: { domain: [0, 100], grid: true, axis: "top", label: null, ticks: 5 },
      y: { type: "band", domain: indexed.map((row) => row.i), label: null, tickFormat: (i) => short(rows[i].name, letters), tickSize: 0 },
      color: { domain: ["float", "integers"], range: [colour.float, colour.integer], legend: true },
      marks: [
        Plot.ruleY(indexed, { ...place, x1: "float", x2: "integer", stroke: "var(--muted)", strokeWidth: 2 }),
        Plot.dot(indexed, { ...place, x: "float", r: 4.5, fill: colour.float }),
        Plot.dot(indexed, { ...place, x: "integer", r: 4.5, fill: colour.integer }),
        Plot.tip(indexed, Plot.pointerY({ ...place, x: "integer", title, ...tip })),
      ],
    });
  }

  const metrics = [
    ["db", "error so far (SQNR, dB)", 1], ["own_db", "the error that enters here (SQNR, dB)", 1], ["time_us", "time, µs", 1], ["weight_bytes", "bytes of weights", 0],
    ["macs", "multiply-adds", 0], ["saturated", "saturated, %", 2], ["dead_codes", "codes that never occur, %", 1],
  ].filter(([key]) => data.layers.some((l) => l[key]));

  function layers(width) {
    if (!metrics.length) return null;
    const [key, label, digits] = metrics.find(([k]) => k === byId("metric").value) ?? metrics[0];
    const order = byId("order").value;
    let rows = data.layers.filter((l) => l[key] != null && (l[key] !== 0 || !["weight_bytes", "macs"].includes(key)));
    if (order !== "i") rows = d3.sort(rows, (a, b) => (order === "value" ? b[key] - a[key] : a[key] - b[key]));
    const schemes = [...new Set(rows.map(scheme))].sort();
    const narrow = width < 560;
    const title = (l) => `${l.name}\n${l.op}, ${scheme(l)}\n${label}: ${number(l[key], digits)}` + (l.made_by ? `\nmade by ${l.made_by}` : "") + (l.kernel ? `\n${l.kernel}, ${l.isa}` : "");
    const palette = ["var(--ours)", "var(--peer)", "var(--warn)", "var(--float)", "var(--bad)", "var(--good)"];
    const tall = narrow || rows.length > 60;
    const value = { [tall ? "x" : "y"]: key }, place = { [tall ? "y" : "x"]: "i" };
    const names = new Map(rows.map((l) => [l.i, short(l.name, tall ? 22 : 26)]));
    const band = { type: "band", domain: rows.map((l) => l.i), label: null, tickFormat: (i) => names.get(i), padding: 0.18, tickSize: 0 };
    const scale = { label, grid: true, nice: true, labelArrow: "none" };
    return Plot.plot({
      width, style: ink, color: { domain: schemes, range: palette.slice(0, schemes.length), legend: schemes.length > 1 },
      ...(tall ? { height: 16 * rows.length + 74, marginTop: 44, marginLeft: 150, marginRight: 20, x: { ...scale, axis: "top", labelOffset: 38 }, y: band }
               : { height: 330, marginBottom: 120, marginLeft: 56, marginTop: 26, x: { ...band, tickRotate: -60 }, y: scale }),
      marks: [
        (tall ? Plot.barX : Plot.barY)(rows, { ...value, ...place, fill: scheme, rx: 1 }),
        Plot.tip(rows, (tall ? Plot.pointerY : Plot.pointerX)({ ...value, ...place, title, ...tip })),
        tall ? Plot.ruleX([0], { stroke: "var(--muted)" }) : Plot.ruleY([0], { stroke: "var(--muted)" }),
      ],
    });
  }
  const scheme = (l) => l.weights ? `${l.weights} weights` : `${l.activations}, no weights`;

  function codes(width, key) {
    const layer = data.layers[Number(byId("layer").value)];
    const counts = layer && layer[key];
    if (!counts || !counts.length) return nothing("No codes of its own.");
    const total = d3.sum(counts) || 1;
    const rows = counts.map((n, i) => ({ i, share: 100 * n / total }));
    return Plot.plot({
      width, height: 170, marginLeft: 44, marginBottom: 26, style: ink, x: { type: "band", axis: null, padding: 0.08 }, y: { label: "%", grid: true, labelArrow: "none", ticks: 4 },
      marks: [
        Plot.barY(rows, { x: "i", y: "share", fill: (r) => r.i === 0 || r.i === rows.length - 1 ? "var(--warn)" : "var(--ours)" }),
        Plot.tip(rows, Plot.pointerX({ x: "i", y: "share", title: (r) => `${number(r.share)} %` + (r.i === 0 ? "\nthe least codes" : r.i === rows.length - 1 ? "\nthe greatest codes" : ""), ...tip })),
        Plot.ruleY([0], { stroke: "var(--muted)" }),
      ],
    });
  }

  function classes(width) {
    const most = 40;
    const rows = d3.sort(data.classes, (c) => -c.drop).slice(0, most);
    const ends = rows.flatMap((c) => c.interval);
    const title = (c) => `${c.name}, ${c.images.toLocaleString("en")} images\ndrop ${number(c.drop)} points, 95 %: ${number(c.interval[0])} to ${number(c.interval[1])}`;
    const fill = (c) => c.interval[0] > 0 ? "var(--bad)" : c.interval[1] < 0 ? "var(--good)" : "var(--float)";
    const marginLeft = Math.min(150, width / 3), letters = Math.floor((marginLeft - 10) / 7);
    const place = new Map(rows.map((c, i) => [i, c.name]));
    const indexed = rows.map((c, i) => ({ ...c, i }));
    return Plot.plot({
      width, height: 22 * rows.length + 66, marginLeft, marginTop: 44, marginBottom: 8, marginRight: 20, style: ink,
      x: { domain: [Math.min(0, ...ends), Math.max(0, ...ends)], nice: true, grid: true, axis: "top", label: data.drop.labelled ? "points lost →" : "% changed →", labelArrow: "none", labelOffset: 38 },
      y: { type: "band", domain: indexed.map((c) => c.i), label: null, tickFormat: (i) => short(place.get(i), letters), tickSize: 0 },
      marks: [
        Plot.ruleX([0], { stroke: "var(--muted)" }),
        Plot.ruleY(indexed, { y: "i", x1: (c) => c.interval[0], x2: (c) => c.interval[1], stroke: fill, strokeWidth: 2.5, strokeOpacity: 0.55 }),
        Plot.dot(indexed, { y: "i", x: "drop", r: 4.5, fill }),
        Plot.tip(indexed, Plot.pointerY({ y: "i", x: "drop", title, ...tip })),
      ],
    });
  }

  function nothing(text) {
    const p = document.createElement("p");
    p.textContent = text;
    p.style.color = "var(--muted)";
    return p;
  }

  const places = [...document.querySelectorAll("[data-chart]")];
  function draw(place, width) {
    const chart = charts[place.dataset.chart](Math.floor(width));
    chart?.setAttribute("aria-hidden", "true"); // its place is the image, and has the label
    if (chart) place.replaceChildren(chart);
    else place.closest("figure")?.remove();
  }
  const all = () => places.forEach((place) => place.isConnected && place.clientWidth && draw(place, place.clientWidth));
  const again = (...names) => places.filter((p) => names.includes(p.dataset.chart) && p.isConnected).forEach((p) => draw(p, p.clientWidth));

  function fill(select, options) {
    for (const [value, text] of options) select.append(new Option(text, value));
  }

  fill(byId("metric"), metrics.map(([key, label]) => [key, label]));
  byId("metric").addEventListener("change", () => again("layers"));
  byId("order").addEventListener("change", () => again("layers"));
  const chooser = byId("layer");
  if (chooser) {
    const withCodes = data.layers.filter((l) => l.histogram);
    fill(chooser, withCodes.map((l) => [l.i, l.name]));
    const noisiest = d3.least(withCodes.filter((l) => l.weight_histogram && l.own_db != null), (l) => l.own_db);
    if (noisiest) chooser.value = noisiest.i;
    chooser.addEventListener("change", () => again("codes", "weights"));
  }
  all();
  let last = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== last) { last = innerWidth; all(); } });
  addEventListener("beforeprint", () => {
    document.querySelectorAll("details").forEach((d) => { if (!d.open) { d.open = true; d.dataset.opened = ""; } });
  });
  addEventListener("afterprint", () => document.querySelectorAll("details[data-opened]").forEach((d) => { d.open = false; delete d.dataset.opened; }));

  // Tables: a click on a heading sorts by its column, as numbers where there are some.
  const plain = (cell) => cell.dataset.value ?? cell.textContent.trim();
  const asNumber = (text) => Number.parseFloat(text.replaceAll(",", "").replaceAll("−", "-"));
  document.querySelectorAll("table.sortable").forEach((table) => {
    [...table.tHead.rows[0].cells].forEach((heading, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = heading.textContent;
      heading.replaceChildren(button);
      const numeric = heading.classList.contains("n") || heading.textContent.includes("%");
      button.addEventListener("click", () => {
        const now = heading.getAttribute("aria-sort");
        const down = now ? now === "ascending" : numeric;
        table.querySelectorAll("th[aria-sort]").forEach((h) => h.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", down ? "descending" : "ascending");
        const body = table.tBodies[0];
        const key = (row) => numeric ? asNumber(plain(row.cells[column])) : plain(row.cells[column]);
        const compare = (a, b) => {
          const x = key(a), y = key(b), gone = (v) => v === "" || Number.isNaN(v);
          if (gone(x) || gone(y)) return gone(x) - gone(y);
          const order = numeric ? x - y : x.localeCompare(y, "en", { numeric: true });
          return down ? -order : order;
        };
        body.append(...[...body.rows].sort(compare));
      });
    });
  });

  const kinds = byId("kinds");
  if (kinds) {
    kinds.hidden = false;
    kinds.addEventListener("click", (event) => {
      const chosen = event.target.closest("button");
      if (!chosen) return;
      kinds.querySelectorAll("button").forEach((b) => b.setAttribute("aria-pressed", String(b === chosen)));
      document.querySelectorAll(".gallery li").forEach((li) => { li.hidden = chosen.dataset.kind !== "" && li.dataset.kind !== chosen.dataset.kind; });
    });
  }

  const theme = byId("theme");
  const isDark = () => (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const label = () => { theme.textContent = isDark() ? "Light" : "Dark"; theme.setAttribute("aria-label", `Show the page ${isDark() ? "light" : "dark"}`); };
  theme.hidden = false;
  theme.addEventListener("click", () => { document.documentElement.dataset.theme = isDark() ? "light" : "dark"; label(); });
  label();
})();
