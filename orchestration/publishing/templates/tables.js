"use strict";
// Tables can be read without this; with it their rows are sorted by a column and filtered by a word.
for (const table of document.querySelectorAll(".part table")) {
  const body = table.tBodies[0];
  const rows = [...body.rows].filter((row) => !row.classList.contains("total"));
  if (rows.length < 5) continue;
  const order = new Map(rows.map((row, index) => [row, index]));
  const value = (row, index) => {
    const data = row.cells[index].querySelector("data");
    return data ? Number(data.value) : row.cells[index].textContent.trim();
  };
  const place = (sorted) => {
    const totals = [...body.rows].filter((row) => row.classList.contains("total"));
    body.append(...sorted, ...totals);
  };
  [...table.tHead.rows[0].cells].forEach((head, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const next = { undefined: "ascending", ascending: "descending", descending: undefined }[head.getAttribute("aria-sort") || undefined];
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      if (!next) return place([...rows].sort((a, b) => order.get(a) - order.get(b)));
      head.setAttribute("aria-sort", next);
      const way = next === "ascending" ? 1 : -1;
      place([...rows].sort((a, b) => {
        const [x, y] = [value(a, index), value(b, index)];
        const numbers = typeof x === "number" && typeof y === "number";
        if (numbers) return way * (x - y) || order.get(a) - order.get(b);
        // What is missing stands last, whichever way the rows go.
        if (typeof x !== typeof y) return typeof x === "number" ? -1 : 1;
        return way * x.localeCompare(y, document.documentElement.lang, { numeric: true }) || order.get(a) - order.get(b);
      }));
    });
  });
  if (rows.length < 12) continue;
  const box = document.createElement("input");
  box.type = "search";
  box.className = "filter";
  box.placeholder = "Filter rows";
  box.setAttribute("aria-label", "Filter rows of " + table.caption.querySelector(".caption-title").textContent);
  const said = document.createElement("span");
  said.className = "filtered";
  said.setAttribute("role", "status");
  const line = document.createElement("p");
  line.className = "tools";
  line.append(box, said);
  table.closest(".scroll").before(line);
  box.addEventListener("input", () => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      shown += row.hidden ? 0 : 1;
    }
    for (const row of body.rows) if (row.classList.contains("total")) row.hidden = words.length > 0;
    said.textContent = words.length ? shown + " of " + rows.length + " rows" : "";
  });
}
