// The other figures: quality and loss by training length, predicted against measured.
const escaped = text => text.replace(/[&<>]/g, c => ({"&": "&amp;", "<": "&lt;", ">": "&gt;"})[c]);  // Plotly reads tags in texts
const MOST_LINES = 60;

const qualityTraces = () => {
  const lineages = new Map(), best = {};
  for (const s of DATA.setups) {
    lineages.set(s.lineage, [...lineages.get(s.lineage) ?? [], s]);
    if (!best[s.method] || s.quality > best[s.method].quality) best[s.method] = s;
  }
  const strong = new Set(Object.values(best).map(s => s.lineage));
  const order = [...lineages].sort(([a], [b]) => strong.has(b) - strong.has(a)).slice(0, MOST_LINES).reverse();
  return order.map(([lineage, own]) => {
    own.sort((a, b) => a.examples - b.examples);
    const bold = strong.has(lineage), {method} = own[0], colour = colourOf(method);
    return {
      x: own.map(s => s.examples), y: own.map(s => s.quality), mode: "lines+markers", name: method, type: "scatter",
      line: {color: bold ? colour : faint(colour, 0.25), width: bold ? 2 : 1}, marker: {symbol: DATA.methods[method].shape, size: bold ? 9 : 5, color: bold ? colour : faint(colour, 0.3)},
      hoverinfo: bold ? "text" : "skip", text: own.map(s => escaped(`${s.words}: ${s.quality.toFixed(3)} after ${plain(s.examples)} examples`)),
    };
  });
};
const lossTraces = () => DATA.losses.map(curve => ({
  x: curve.examples, y: curve.losses, mode: "lines", name: curve.method, type: "scatter", line: {color: colourOf(curve.method), width: 1.7},
  hoverinfo: "text", text: curve.losses.map((loss, i) => escaped(`${curve.method}: loss ${loss.toFixed(3)} at ${plain(curve.examples[i])} examples`)),
}));
const endsOf = traces => {
  const last = {};
  for (const t of traces) if (t.hoverinfo === "text") last[t.name] = t;
  return last;
};
const drawCurves = () => {
  const plot = $("curves");
  let what = "quality";
  const draw = () => {
    const traces = what === "quality" ? qualityTraces() : lossTraces(), xs = traces.flatMap(t => t.x);
    const low = Math.min(...xs) / 1.15, high = Math.max(...xs) * 1.15, narrow = plot.clientWidth < 600, log = what === "quality";
    const stops = [...new Set(xs)].sort((a, b) => a - b);
    const ticks = log ? stops.length <= (narrow ? 4 : 8) ? {tickvals: stops, ticktext: stops.map(plain)} : ticksOf(low, high, plain, narrow ? 4 : 8) : {tickformat: ",d", nticks: narrow ? 4 : 8};
    Plotly.react(plot, traces, layoutOf({
      hoverlabel: {bgcolor: css("--back"), bordercolor: css("--line"), font: {color: css("--ink")}},
      xaxis: axisOf({type: log ? "log" : "linear", title: {text: "training examples seen" + (log ? " (log scale)" : "")}, range: log ? [Math.log10(low), Math.log10(high)] : [0, high / 1.1], ...ticks}),
      yaxis: axisOf({title: {text: log ? `${DATA.metric} on dev` : "training loss"}, nticks: 6}),
    }), CONFIG);
  };
  draw();
  redraws.push(draw);
  if ($("curves-switch")) choose($("curves-switch"), button => { what = button.dataset.curve; draw(); });
};
const drawPredicted = () => {
  const plot = $("predicted"), panels = [["time", "predicted_time", DATA.cost_word, seconds, NICE_SECONDS], ["memory", "predicted_memory", "peak memory", bytes]];
  const draw = () => {
    const narrow = plot.clientWidth < 600, traces = [], layout = {grid: {rows: narrow ? 2 : 1, columns: narrow ? 1 : 2, pattern: "independent", xgap: 0.15, ygap: 0.3}, margin: {l: 66, r: 14, t: 12, b: 50},
      hoverlabel: {bgcolor: css("--back"), bordercolor: css("--line"), font: {color: css("--ink")}}};
    panels.forEach(([measured, predicted, title, spell, nice], i) => {
      const n = i ? i + 1 : "", own = DATA.setups.filter(s => s[measured] > 0 && s[predicted] > 0), values = own.flatMap(s => [s[measured], s[predicted]]);
      const low = Math.min(...values) / 1.2, high = Math.max(...values) * 1.2, range = [Math.log10(low), Math.log10(high)], ticks = ticksOf(low, high, spell, 4, nice);
      traces.push({x: [low, high], y: [low, high], mode: "lines", line: {color: css("--soft"), width: 1}, hoverinfo: "skip", xaxis: `x${n}`, yaxis: `y${n}`});
      for (const method of Object.keys(DATA.methods)) {
        const mine = own.filter(s => s.method === method);
        traces.push({x: mine.map(s => s[measured]), y: mine.map(s => s[predicted]), mode: "markers", type: "scatter", xaxis: `x${n}`, yaxis: `y${n}`, hoverinfo: "text",
          text: mine.map(s => escaped(`${s.words}<br>measured ${spell(s[measured])}, predicted ${spell(s[predicted])}`).replace("&lt;br&gt;", "<br>")),
          marker: {color: colourOf(method), symbol: DATA.methods[method].shape, size: 8, opacity: 0.8}});
      }
      layout[`xaxis${n}`] = axisOf({type: "log", range, title: {text: `${title}, measured`}, ...ticks});
      layout[`yaxis${n}`] = axisOf({type: "log", range, automargin: true, title: {text: i && !narrow ? "" : "predicted", standoff: 8}, ...ticks});
    });
    Plotly.react(plot, traces, layoutOf(layout), CONFIG);
  };
  draw();
  redraws.push(draw);
};
