// The comparison: quality against cost, one small picture a task, all with the same axis and the same methods shown.
const hidden = new Set();
let axis = "time";
const AXES = {
  time: {title: DATA.cost_word, of: s => s.time, spell: seconds, nice: NICE_SECONDS},
  memory: {title: "peak memory", of: s => s.memory, spell: bytes},
  latency: {title: "time to predict one example", of: s => s.latency, spell: v => `${+(1000 * v).toPrecision(2)} ms`},
};
const escaped = text => text.replace(/[&<>]/g, c => ({"&": "&amp;", "<": "&lt;", ">": "&gt;"})[c]);  // Plotly reads tags in texts

const stepsOf = (setups, of) => {
  const line = [];
  for (const s of [...setups].sort((a, b) => of(a) - of(b) || b.quality - a.quality))
    if (!line.length || s.quality > line.at(-1).quality) line.push(s);
  return {x: line.map(of), y: line.map(s => s.quality), mode: "lines", line: {shape: "hv", color: css("--soft"), width: 1}, hoverinfo: "skip"};
};
const rangeOf = setups => {  // where setups are; what lies far below does not squeeze the others
  const sorted = setups.map(s => s.quality).sort((a, b) => a - b), quarter = sorted[Math.floor(sorted.length / 4)], top = sorted.at(-1);
  const floor = sorted.length > 12 ? quarter - 1.5 * Math.max(0.02, top - quarter) : -Infinity, inside = setups.filter(s => s.quality >= floor);
  const low = Math.min(...inside.map(s => sorted.length > 30 ? s.quality : s.low)), high = Math.max(...inside.map(s => s.high)), room = 0.06 * (high - low) || 0.01;
  return [low - room, high + room];
};
const drawTask = (task, at) => {
  const plot = $(`front${at}`), {title, of, spell, nice} = AXES[axis], narrow = plot.clientWidth < 600;
  const own = DATA.setups.filter(s => s.task === at && !hidden.has(s.method) && of(s) > 0);
  const values = own.map(of), [low, high] = own.length ? [Math.min(...values) / 1.3, Math.max(...values) * 1.3] : [1, 10];
  const traces = [stepsOf(own, of)], bars = own.length <= 30;
  for (const method of Object.keys(DATA.methods)) {
    const mine = own.filter(s => s.method === method), colour = colourOf(method);
    if (!mine.length) continue;
    traces.push({
      x: mine.map(of), y: mine.map(s => s.quality), mode: "markers", type: "scatter", name: method, hoverinfo: "text",
      text: mine.map(s => `${escaped(s.name)}<br>${escaped(task.metric)} ${s.quality.toFixed(3)} (${s.low.toFixed(3)} to ${s.high.toFixed(3)})<br>${seconds(s.time)}, ${bytes(s.memory)}`),
      marker: {color: colour, symbol: DATA.methods[method].shape, size: 10, line: {width: 1, color: css("--back")}},
      error_y: bars ? {type: "data", symmetric: false, array: mine.map(s => s.high - s.quality), arrayminus: mine.map(s => s.quality - s.low), color: faint(colour, 0.45), thickness: 1.3, width: 0} : undefined,
    });
  }
  Plotly.react(plot, traces, layoutOf({
    margin: {l: 50, r: 10, t: 8, b: 44}, hoverlabel: {bgcolor: css("--back"), bordercolor: css("--line"), font: {color: css("--ink")}, align: "left"},
    xaxis: axisOf({type: "log", title: {text: title, standoff: 6}, range: [Math.log10(low), Math.log10(high)], ...ticksOf(low, high, spell, narrow ? 4 : 8, nice)}),
    yaxis: axisOf({title: {text: `${task.metric} on ${task.split}`, standoff: 4}, range: own.length ? rangeOf(own) : [0, 1], tickformat: ".3~f", nticks: 6}),
  }), CONFIG);
};
const drawAll = () => DATA.tasks.forEach(drawTask);
$("axes").querySelector("[data-axis=latency]").hidden = !DATA.setups.some(s => s.latency);
choose($("axes"), button => { axis = button.dataset.axis; drawAll(); });
for (const button of $("legend").children) button.addEventListener("click", () => {
  const {method} = button.dataset;
  if (!hidden.delete(method)) hidden.add(method);
  button.setAttribute("aria-pressed", !hidden.has(method));
  drawAll();
});
drawAll();
redraws.push(drawAll);
