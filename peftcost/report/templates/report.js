
// Sorts a table by the column whose head is clicked. Cells carry their number in data-value.
document.querySelectorAll("table.sortable th button").forEach(button => button.addEventListener("click", () => {
  const head = button.closest("th"), table = head.closest("table"), body = table.tBodies[0];
  const up = head.getAttribute("aria-sort") !== "ascending";
  const key = row => {
    const cell = row.cells[head.cellIndex];
    return "value" in cell.dataset ? (cell.dataset.value === "" ? NaN : Number(cell.dataset.value)) : cell.textContent.trim();
  };
  const order = (x, y) => {
    if (typeof x === "string") return (up ? 1 : -1) * x.localeCompare(y, undefined, {numeric: true});
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
    return up ? x - y : y - x;
  };
  body.append(...[...body.rows].sort((a, b) => order(key(a), key(b))));
  table.querySelectorAll("th").forEach(other => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
}));
