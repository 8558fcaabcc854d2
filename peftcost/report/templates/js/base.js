// What all parts of the page share: the data, how numbers are spelled, and the colours of the moment.
const DATA = JSON.parse(document.getElementById("data").textContent);
DATA.setups = DATA.rows.map((row, index) => Object.fromEntries([["index", index], ...row.map((value, i) => [DATA.columns[i], value])]));
const $ = id => document.getElementById(id);
const dark = matchMedia("(prefers-color-scheme: dark)"), print = matchMedia("print");
const live = document.querySelector("meta[http-equiv=refresh]") !== null;

const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const colourOf = method => DATA.methods[method][dark.matches && !print.matches ? "dark" : "light"];
const faint = (colour, opacity) => colour + Math.round(255 * opacity).toString(16).padStart(2, "0");

const seconds = s => {
  if (s < 1) return `${+s.toPrecision(2)} s`;
  if (s < 10) return `${s.toFixed(1)} s`;
  const whole = Math.round(s), parts = [[Math.floor(whole / 3600), "h"], [Math.floor(whole % 3600 / 60), "min"], [whole % 60, "s"]];
  return parts.filter(([n]) => n).slice(0, 2).map(([n, unit]) => `${n} ${unit}`).join(" ");
};
const bytes = b => {
  for (const [unit, size] of [["TB", 1e12], ["GB", 1e9], ["MB", 1e6], ["KB", 1e3]])
    if (b >= size) return `${b / size >= 100 ? Math.round(b / size) : +(b / size).toPrecision(2)} ${unit}`;
  return `${b} B`;
};
const money = m => m >= 100 ? m.toFixed(0) : m >= 1 ? m.toFixed(2) : `${+m.toPrecision(2)}`;
const plain = x => x.toLocaleString("en");

// Round values of a logarithmic axis, few enough to stand beside each other.
const NICE_SECONDS = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 18000, 36000, 86400, 172800, 432000];
const decades = [...Array(22).keys()].flatMap(i => [1, 2, 5].map(n => +`${n}e${i - 8}`));
const ticksOf = (low, high, spell, most, nice = decades) => {
  const all = [...decades.filter(v => v < nice[0]), ...nice].filter(v => v >= low && v <= high);
  const every = Math.ceil(all.length / most), kept = all.filter((_, i) => i % every === 0);
  const values = kept.length > 1 ? kept : [low * 1.02, Math.sqrt(low * high), high / 1.02];
  return {tickvals: values, ticktext: values.map(spell)};
};
const layoutOf = extra => ({
  paper_bgcolor: css("--back"), plot_bgcolor: css("--back"), showlegend: false, hovermode: "closest", autosize: true,
  font: {family: "system-ui, sans-serif", size: 12.5, color: css("--soft")}, margin: {l: 58, r: 14, t: 12, b: 50}, ...extra,
});
const axisOf = extra => ({gridcolor: css("--line"), linecolor: css("--line"), zeroline: false, fixedrange: true, ...extra});
const CONFIG = {displayModeBar: false, responsive: true, doubleClick: false, showTips: false};

// A group of buttons of which one is chosen; arrow keys move as among radio buttons.
const choose = (group, chosen) => {
  const buttons = [...group.querySelectorAll("[role=radio]")];
  const pick = button => {
    buttons.forEach(b => { b.setAttribute("aria-checked", b === button); b.tabIndex = b === button ? 0 : -1; });
    chosen(button);
  };
  buttons.forEach((button, i) => {
    button.addEventListener("click", () => pick(button));
    button.addEventListener("keydown", event => {
      const step = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[event.key];
      if (!step) return;
      event.preventDefault();
      const next = buttons[(i + step + buttons.length) % buttons.length];
      next.focus();
      pick(next);
    });
  });
  return pick;
};
const redraws = [];
for (const query of [dark, print]) query.addEventListener("change", () => redraws.forEach(draw => draw()));

// A live page loads itself again: what was chosen stays.
const kept = key => { try { return live ? JSON.parse(sessionStorage.getItem(key)) : null; } catch { return null; } };
const keep = (key, value) => { try { if (live) sessionStorage.setItem(key, JSON.stringify(value)); } catch { /* not allowed here */ } };
