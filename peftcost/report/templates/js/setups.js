// The table of all setups: sorted by its heads, filtered, searched; a row copies the command that writes its recipe.
const rowOf = id => document.getElementById(`row-${id}`);
const showRow = id => {
  const row = rowOf(id);
  if (!row) return;
  $("all").open = true;
  if (row.hidden) { $("query").value = ""; $("method").value = ""; $("only-front").checked = false; filterRows(); }
  document.querySelectorAll("tr.shown").forEach(other => other.classList.remove("shown"));
  row.classList.add("shown");
  row.tabIndex = -1;
  row.scrollIntoView({block: "center"});
  row.focus({preventScroll: true});
};
const filterRows = () => {
  const words = $("query").value.toLowerCase().split(/\s+/).filter(Boolean), method = $("method").value, front = $("only-front").checked;
  let n = 0;
  for (const s of DATA.setups) {
    const text = `${s.words} ${s.id} ${s.examples}`.toLowerCase(), row = rowOf(s.id);
    row.hidden = !(words.every(word => text.includes(word)) && (!method || s.method === method) && (!front || s.front));
    n += !row.hidden;
  }
  $("count").textContent = n === DATA.setups.length ? "" : `${plain(n)} of ${plain(DATA.setups.length)} setups`;
};
const sortBy = button => {
  const head = button.closest("th"), table = head.closest("table"), body = table.tBodies[0];
  const up = head.getAttribute("aria-sort") === "descending" || (head.getAttribute("aria-sort") === null && !head.classList.contains("n"));
  const key = row => {
    const cell = row.cells[head.cellIndex];
    return "value" in cell.dataset ? (cell.dataset.value === "" ? NaN : Number(cell.dataset.value)) : cell.textContent.trim();
  };
  const order = (x, y) => {
    if (typeof x === "string") return (up ? 1 : -1) * x.localeCompare(y, undefined, {numeric: true});
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
    return up ? x - y : y - x;
  };
  const rows = [...body.rows].map(row => [key(row), row]).sort(([a], [b]) => order(a, b));
  body.append(...rows.map(([, row]) => row));
  table.querySelectorAll("th").forEach(other => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
};
const copyText = async text => {
  try { await navigator.clipboard.writeText(text); } catch {
    const field = document.body.appendChild(document.createElement("textarea"));
    field.value = text;
    field.select();
    document.execCommand("copy");
    field.remove();
  }
};
const completeRows = () => {  // on a narrow screen a row is a card, whose figures stand under their names
  const names = [...$("setups").tHead.rows[0].cells].map(head => head.textContent.trim());
  for (const row of $("setups").tBodies[0].rows) {
    for (let i = 1; i < 10; i++) row.cells[i].dataset.name = names[i];
    const button = row.insertCell().appendChild(document.createElement("button"));
    Object.assign(button, {type: "button", className: "copy", textContent: "copy recipe"});
  }
};
const useTable = () => {
  completeRows();
  $("query").addEventListener("input", filterRows);
  $("method").addEventListener("change", filterRows);
  $("only-front").addEventListener("change", filterRows);
  document.querySelectorAll("table.sortable thead button").forEach(button => button.addEventListener("click", () => sortBy(button)));
  $("setups").addEventListener("click", async event => {
    if (!event.target.matches("button.copy")) return;
    const id = event.target.closest("tr").id.slice("row-".length);
    await copyText(`peftcost recommend ${DATA.run} --setup ${id} -o ${id}.yaml`);
    event.target.textContent = "copied";
    $("said").textContent = "Copied the command that writes this recipe.";
    setTimeout(() => { event.target.textContent = "copy recipe"; }, 2000);
  });
  document.addEventListener("click", event => {
    const link = event.target.closest("a[href^='#row-']");
    if (!link) return;
    event.preventDefault();
    showRow(decodeURIComponent(link.getAttribute("href").slice("#row-".length)));
  });
  if (location.hash.startsWith("#row-")) showRow(decodeURIComponent(location.hash.slice("#row-".length)));
};
