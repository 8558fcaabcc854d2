// The front: quality against what a setup takes. One trace for each method's best trade-offs, one for its other setups.
const drawFront = () => {
  const plot = $("front"), card = $("card"), many = DATA.setups.length > 150;
  const hidden = new Set(kept("hidden") ?? []);
  let axis = kept("axis") ?? "time", price = kept("price") ?? 1, all = false, at = -1, zoomed = null;
  const AXES = {
    time: {title: `${DATA.cost_word} of one training`, of: s => s.time, spell: seconds, nice: NICE_SECONDS},
    money: {title: "money for one training", of: s => s.time / 3600 * price, spell: money},
    memory: {title: "peak memory of the training", of: s => s.memory, spell: bytes},
    latency: {title: "time to predict one example", of: s => s.latency, spell: v => `${+(1000 * v).toPrecision(2)} ms`},
  };
  const shown = () => DATA.setups.filter(s => !hidden.has(s.method) && AXES[axis].of(s) > 0);
  const best = Math.max(...DATA.setups.map(s => s.quality));

  // Where setups are: what lies far below is left out, and counted.
  const qualities = setups => {
    const sorted = setups.map(s => s.quality).sort((a, b) => a - b), n = sorted.length;
    const quarter = sorted[Math.floor(n / 4)], width = sorted[Math.floor(3 * n / 4)] - quarter;
    const usual = Math.max(width, 0.02), floor = quarter - 1.5 * usual;
    const inside = all ? setups : setups.filter(s => s.quality >= floor || s.recommended || (s.front && s.quality >= quarter - 4 * usual));
    const low = Math.min(...inside.map(s => many && !s.front ? s.quality : s.low ?? s.quality)), high = Math.max(...inside.map(s => s.high ?? s.quality));
    const bottom = all ? low : Math.max(low, Math.min(...inside.map(s => s.quality)) - usual / 2);
    const room = 0.06 * (high - bottom) || 0.01;
    return {range: [bottom - room, high + room], beyond: n - inside.length};
  };
  const group = (setups, method, strong) => {
    const own = setups.filter(s => s.method === method && Boolean(s.front || s.recommended) === strong), colour = colourOf(method);
    const bars = strong || !many;
    return {
      x: own.map(AXES[axis].of), y: own.map(s => s.quality), customdata: own.map(s => s.index), type: "scatter", mode: "markers", hoverinfo: "none",
      marker: {color: strong ? colour : faint(colour, 0.38), symbol: DATA.methods[method].shape, size: strong ? 12 : 9, line: {width: strong ? 1 : 0, color: css("--back")}},
      error_y: bars ? {type: "data", symmetric: false, array: own.map(s => (s.high ?? s.quality) - s.quality), arrayminus: own.map(s => s.quality - (s.low ?? s.quality)),
        color: faint(colour, strong ? 0.75 : 0.22), thickness: 1.4, width: 0} : undefined,
    };
  };
  const steps = setups => {
    const line = [];
    for (const s of [...setups].sort((a, b) => AXES[axis].of(a) - AXES[axis].of(b) || b.quality - a.quality))
      if (!line.length || s.quality > line.at(-1).quality) line.push(s);
    return {x: line.map(AXES[axis].of), y: line.map(s => s.quality), mode: "lines", line: {shape: "hv", color: css("--soft"), width: 1}, hoverinfo: "skip"};
  };
  const ring = setups => {
    const own = setups.filter(s => s.recommended);
    return {x: own.map(AXES[axis].of), y: own.map(s => s.quality), mode: "markers", hoverinfo: "skip",
      marker: {symbol: "circle-open", size: 23, color: css("--ink"), line: {width: 2, color: css("--ink")}}};
  };
  const draw = () => {
    const setups = shown(), values = setups.map(AXES[axis].of), {title, spell, nice} = AXES[axis], narrow = plot.clientWidth < 600;
    const {range, beyond} = setups.length ? qualities(setups) : {range: [0, 1], beyond: 0};
    const [low, high] = setups.length ? [Math.min(...values) / 1.25, Math.max(...values) * 1.25] : [1, 10];
    const [left, right] = zoomed?.x?.map(v => 10 ** v) ?? [low, high];
    const recommended = setups.find(s => s.recommended);
    const side = recommended && AXES[axis].of(recommended) ** 2 > left * right ? -1 : 1;  // its name stands towards the middle
    const methods = Object.keys(DATA.methods).filter(m => !hidden.has(m));
    const traces = [steps(setups), ...[false, true].flatMap(strong => methods.map(m => group(setups, m, strong))), ring(setups)];
    Plotly.react(plot, traces, layoutOf({
      dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
      xaxis: axisOf({type: "log", fixedrange: false, title: {text: `${title} (log scale)`}, range: zoomed?.x ?? [Math.log10(low), Math.log10(high)], ...ticksOf(left, right, spell, narrow ? 4 : 8, nice)}),
      yaxis: axisOf({fixedrange: false, title: {text: `${DATA.metric} on dev`}, range: zoomed?.y ?? range, tickformat: ".3~f", nticks: 8}),
      shapes: [{type: "rect", xref: "paper", x0: 0, x1: 1, y0: best - DATA.margin, y1: best, fillcolor: css("--band"), line: {width: 0}, layer: "below"}],
      annotations: recommended ? [{x: Math.log10(AXES[axis].of(recommended)), y: recommended.quality, text: "recommended", font: {color: css("--ink"), size: 13}, bgcolor: faint(css("--back"), 0.8), ax: side * 46, ay: 34, xanchor: side > 0 ? "left" : "right", arrowcolor: css("--soft"), arrowwidth: 1, standoff: 12}] : [],
    }), CONFIG);
    $("beyond").textContent = beyond ? `${plain(beyond)} setup${beyond > 1 ? "s lie" : " lies"} below the picture.` : "";
    $("zoom-all").hidden = !(beyond || all || zoomed);
    $("zoom-all").textContent = zoomed || all ? "reset" : "show all";
    $("price").hidden = axis !== "money";
  };

  const figures = s => [`${DATA.metric} ${s.quality.toFixed(3)}${s.low === null ? "" : ` (${s.low.toFixed(3)} to ${s.high.toFixed(3)})`}`,
    s.reading === null || s.reading.toFixed(3) === s.quality.toFixed(3) ? "" : `read ${s.reading.toFixed(3)}`,
    `${seconds(s.time)}, ${bytes(s.memory)}${s.latency ? `, ${(1000 * s.latency).toFixed(1)} ms an example` : ""}`,
    s.recommended ? "recommended" : s.front ? "best trade-off" : ""].filter(Boolean);
  const showCard = s => {
    const {xaxis, yaxis} = plot._fullLayout, x = xaxis._offset + xaxis.l2p(Math.log10(AXES[axis].of(s))), y = yaxis._offset + yaxis.l2p(s.quality);
    card.replaceChildren();
    for (const [tag, text] of [["b", `${s.words}, ${plain(s.examples)} examples`], ...figures(s).map(text => ["span", text])]) card.appendChild(document.createElement(tag)).textContent = text;
    card.hidden = false;
    const room = plot.clientWidth - card.offsetWidth, above = y - card.offsetHeight - 16;
    card.style.left = `${Math.max(0, Math.min(room, x + (x > plot.clientWidth / 2 ? -card.offsetWidth - 14 : 14)))}px`;
    card.style.top = `${Math.max(0, above)}px`;
  };
  const hideCard = () => { card.hidden = true; };
  const go = s => { hideCard(); showRow(s.id); };

  draw();
  redraws.push(draw);
  plot.on("plotly_hover", event => { if (event.points[0].customdata !== undefined) showCard(DATA.setups[event.points[0].customdata]); });
  plot.on("plotly_unhover", hideCard);
  plot.on("plotly_click", event => {
    const s = DATA.setups[event.points[0].customdata];
    if (s && matchMedia("(hover: hover)").matches) go(s); else if (s) showCard(s);
  });
  plot.on("plotly_relayout", change => {
    if (change["xaxis.range[0]"] === undefined && change["yaxis.range[0]"] === undefined) return;
    zoomed = {x: plot.layout.xaxis.range, y: plot.layout.yaxis.range};
    draw();
  });
  const reset = () => { all = !zoomed && !all; zoomed = null; draw(); };
  plot.on("plotly_doubleclick", () => { zoomed = null; draw(); });
  $("zoom-all").addEventListener("click", reset);
  for (const [id, factor] of [["zoom-in", 0.6], ["zoom-out", 1 / 0.6]]) $(id).addEventListener("click", () => {
    const around = ([a, b]) => [(a + b) / 2 - factor * (b - a) / 2, (a + b) / 2 + factor * (b - a) / 2];
    zoomed = {x: around(plot.layout.xaxis.range), y: around(plot.layout.yaxis.range)};
    draw();
  });

  // With the keyboard: arrows go from setup to setup, in the order of cost; Enter goes to the row.
  plot.addEventListener("keydown", event => {
    const setups = shown().sort((a, b) => AXES[axis].of(a) - AXES[axis].of(b)), step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
    if (event.key === "Escape") hideCard();
    if (event.key === "Enter" && setups[at]) go(setups[at]);
    if (!step || !setups.length) return;
    event.preventDefault();
    at = (at + step + setups.length) % setups.length;
    showCard(setups[at]);
    $("said").textContent = [setups[at].words, ...figures(setups[at])].join(", ");
  });
  plot.addEventListener("blur", hideCard);
  const pick = choose($("axes"), button => { axis = button.dataset.axis; at = -1; zoomed = null; keep("axis", axis); hideCard(); draw(); });
  if (axis !== "time") pick($("axes").querySelector(`[data-axis=${axis}]`));
  $("price").querySelector("input").value = price;
  $("price").querySelector("input").addEventListener("input", event => { price = Number(event.target.value) || 1; keep("price", price); draw(); });
  for (const button of $("legend").children) {
    const method = button.dataset.method;
    button.setAttribute("aria-pressed", !hidden.has(method));
    button.addEventListener("click", () => {
      if (!hidden.delete(method)) hidden.add(method);
      button.setAttribute("aria-pressed", !hidden.has(method));
      keep("hidden", [...hidden]);
      hideCard();
      draw();
    });
  }
};
