// The feature explorer: a list that is searched and sorted, and the page of one feature. All text is set as text, never as HTML.
// Python (explorer.py) answers { ask: "list" | "page", ... } with rows or a page. What the kernel sent first is in the model, so a saved
// notebook still shows its first features.

const PATIENCE_MS = 3000; // a kernel that is busy with another cell answers later, and its answer replaces the sentence
const PAUSE_MS = 120; // between a key and the question to the kernel: a held arrow key asks once, where it stops
const NOBODY =
  "Nothing answers here: the kernel is busy, or this is a saved notebook. To browse all features, run this cell again (Shift+Enter).";

// In command mode JupyterLab takes keys for itself; below an element with this attribute they stay its own.
const OWN_KEYS = "data-lm-suppress-shortcuts";

function make(tag, className, text, attributes = {}) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function keepKeys(root) {
  root.setAttribute(OWN_KEYS, "true");
  root.addEventListener("keydown", (event) => {
    const shortcut = event.ctrlKey || event.metaKey || event.altKey || (event.shiftKey && event.key === "Enter");
    if (!shortcut || !event.isTrusted) return;
    // Ctrl+S, Shift+Enter and the like are JupyterLab's: hand them on.
    root.removeAttribute(OWN_KEYS);
    const again = new KeyboardEvent("keydown", event);
    event.target.dispatchEvent(again);
    root.setAttribute(OWN_KEYS, "true");
    if (again.defaultPrevented) event.preventDefault();
  });
}

// --- questions to the kernel -----------------------------------------------------------------------------------------

function asker(model, tell) {
  const waiting = new Map(); // kind of question -> the last one of that kind; older answers are not looked at
  let turn = 0;
  const received = (message) => {
    for (const [kind, asked] of waiting) {
      if (asked.turn !== message.turn) continue;
      clearTimeout(asked.timer);
      waiting.delete(kind);
      if (message.error) tell(message.error);
      else asked.then(message);
    }
  };
  model.on("msg:custom", received);
  const ask = (kind, question, then) => {
    clearTimeout(waiting.get(kind)?.timer);
    const asked = { turn: ++turn, then, timer: setTimeout(() => tell(NOBODY), PATIENCE_MS) };
    waiting.set(kind, asked);
    // In a notebook that was saved and opened again there is no kernel to ask.
    try {
      model.send({ ask: kind, turn, ...question });
    } catch {
      tell(NOBODY);
    }
  };
  return { ask, stop: () => model.off("msg:custom", received) };
}

// --- the page of a feature -----------------------------------------------------------------------------------------------

function legible(token) {
  const text = token.replaceAll("\n", "↵").replaceAll("\t", "⇥").replaceAll("\r", "");
  if (text.length > 1 && !text.trim()) return "·".repeat(Math.min(text.length, 4)) + " ";
  return text;
}

function signed(value) {
  return (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2);
}

function ruleLine(row) {
  if (row.explained) return row.rule;
  if (!row.count) return "never active here";
  return row.rule ? `no rule; nearest: ${row.rule}` : "no rule";
}

function section(title, note) {
  const part = make("section", "mi-part");
  const head = make("h4", "", title);
  if (note) head.append(make("span", "mi-note", note));
  part.append(head);
  return part;
}

function histogram(page) {
  const width = 300, height = 84, counts = page.histogram;
  const most = Math.max(...counts, 1);
  const part = section("Activations", "how many active tokens, by strength");
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 ${width} ${height + 14}`);
  svg.setAttribute("role", "img");
  const half = counts.slice(0, counts.length / 2).reduce((a, b) => a + b, 0);
  const said = `Histogram of ${page.count} activations from 0 to ${page.most}: ${half} of them in the lower half.`;
  svg.setAttribute("aria-label", said);
  const draw = (name, attributes, text) => {
    const shape = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) shape.setAttribute(key, value);
    if (text !== undefined) shape.textContent = text;
    svg.append(shape);
    return shape;
  };
  const step = width / counts.length;
  counts.forEach((count, i) => {
    const tall = count ? Math.max(1.5, (count / most) * (height - 24)) : 0;
    const bar = draw("rect", { x: i * step + 0.75, y: height - tall, width: step - 1.5, height: tall, class: "mi-bar" });
    const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
    const edge = (n) => (n * page.scale * 255 / counts.length).toPrecision(3);
    title.textContent = `${count} tokens from ${edge(i)} to ${edge(i + 1)}`;
    bar.append(title);
  });
  draw("line", { x1: 0, x2: width, y1: height, y2: height, class: "mi-axis" });
  draw("text", { x: 0, y: height + 11 }, "0");
  draw("text", { x: width, y: height + 11, "text-anchor": "end" }, page.most);
  const peak = counts.indexOf(Math.max(...counts));
  draw("text", { x: (peak + 0.5) * step, y: 20, "text-anchor": peak < 2 ? "start" : peak > 17 ? "end" : "middle" }, most.toLocaleString("en"));
  if (page.label && page.label.cut > 1e-9) {
    const x = Math.min(page.label.cut, 1) * width;
    draw("line", { x1: x, x2: x, y1: 2, y2: height, class: "mi-cut" });
    const left = x > width * 0.6;
    draw("text", { x: left ? x - 4 : x + 4, y: 9, "text-anchor": left ? "end" : "start" }, "threshold of its rule");
  }
  part.append(svg);
  return part;
}

function rule(page) {
  const part = section("Rule", "chosen on half of the files, scored on the others");
  const label = page.label;
  if (!label) {
    part.append(make("p", "", page.count ? "Too rarely active to choose a rule for it." : "It is never active on this sample."));
    return part;
  }
  const said = page.explained ? label.says : `Nearest is “${label.says}”, and it does not explain the feature.`;
  part.append(make("p", page.explained ? "mi-rule" : "mi-rule mi-weak", said));
  part.append(make("p", "mi-counts", `It says yes ${label.yes}.`));
  const table = make("table", "mi-scores");
  const rows = [
    ["precision", label.precision, "of the tokens at the threshold and above, the share of which the rule is true"],
    ["recall", label.recall, "of the tokens of which the rule is true, the share at the threshold and above"],
    ["F1", label.f1, "2 · precision · recall / (precision + recall)"],
    ["best neuron", label.neuron, "F1 of the neuron that fits this rule best, chosen in the same way"],
    ["best random direction", label.random, "F1 of the random direction that fits this rule best, chosen in the same way"],
  ];
  for (const [name, value, meaning] of rows) {
    if (value === null) continue;
    const row = make("tr", name === "F1" ? "mi-own" : name.startsWith("best") ? "mi-base" : "", undefined, { title: meaning });
    const bar = make("span", "mi-meter");
    bar.style.setProperty("--share", value);
    const cell = make("td", "");
    cell.append(bar);
    row.append(make("th", "", name, { scope: "row" }), cell, make("td", "mi-number", value.toFixed(2)));
    table.append(row);
  }
  part.append(table);
  return part;
}

function writes(page, how) {
  const part = section("Logits", "what one unit of it adds");
  part.querySelector("h4").title = how;
  const most = Math.max(...page.writes.flat().map(([, value]) => Math.abs(value)), 1e-9);
  const both = make("div", "mi-writes");
  page.writes.forEach((side, i) => {
    const list = make("ol", i ? "mi-against" : "mi-for", undefined, { "aria-label": i ? "lowers most" : "raises most" });
    for (const [token, value] of side) {
      const item = make("li");
      const bar = make("span", "mi-meter");
      bar.style.setProperty("--share", Math.abs(value) / most);
      item.append(make("code", "", token), bar, make("span", "mi-number", signed(value)));
      list.append(item);
    }
    both.append(list);
  });
  part.append(both);
  return part;
}

function near(page, open) {
  const part = section("Nearest features", "cosine of decoder directions");
  const list = make("ul", "mi-near");
  for (const [feature, cosine, row] of page.near) {
    const item = make("li");
    const link = make("button", "mi-link", String(feature), { type: "button" });
    link.addEventListener("click", () => open(feature, true));
    item.append(link, make("span", "mi-number", cosine), make("code", "", row.peaks.join(" ")));
    item.append(make("span", "mi-said", ruleLine(row), { title: ruleLine(row) }));
    list.append(item);
  }
  part.append(list);
  return part;
}

const BANDS = {
  strongest: "the largest activations, one from a window of text",
  "upper third": "from the upper third of its active tokens",
  "middle third": "from the middle third",
  "lower third": "from the lower third: what a small activation is worth",
};

function contexts(page) {
  const part = section("Contexts", "from strong to weak; hover over a token for its activation");
  let list, band;
  for (const place of page.contexts) {
    if (place.band !== band) {
      band = place.band;
      list = make("ul", "mi-contexts", undefined, { "aria-label": BANDS[band] });
      part.append(make("p", "mi-band", BANDS[band]), list);
    }
    const item = make("li");
    const value = (place.steps[place.at] * page.scale).toPrecision(3);
    item.append(make("span", "mi-value", value, { title: `activation ${value}, in ${place.file}` }));
    const line = make("code", "mi-line");
    if (place.opens) line.append(make("span", "mi-value", "BOS ", { title: "The window begins here: the model saw nothing earlier." }));
    place.tokens.forEach((token, i) => {
      const blank = !token.trim();
      const span = make("span", blank && !place.steps[i] ? "mi-blank" : "", legible(token));
      if (place.steps[i]) {
        span.className = "mi-lit";
        span.style.setProperty("--strength", place.steps[i] / 255);
        span.title = `${(place.steps[i] * page.scale).toPrecision(3)} on ${JSON.stringify(token)}`;
      }
      if (i === place.at) span.classList.add("mi-chosen");
      line.append(span);
    });
    const file = make("span", "mi-file", place.file);
    item.append(line, file);
    list.append(item);
  }
  if (!page.contexts.length) part.append(make("p", "", "None: it is never active on this sample."));
  return part;
}

function drawPage(place, page, how, open, back) {
  const head = make("div", "mi-head");
  const title = make("h3", "", `Feature ${page.id}`, { tabindex: "-1" });
  head.append(title);
  if (back !== null) {
    const link = make("button", "mi-link", `← back to ${back}`, { type: "button" });
    link.addEventListener("click", () => open(back, true, true));
    head.append(link);
  }
  const facts = `active on ${page.density} of tokens (${page.count.toLocaleString("en")}); mean ${page.mean}, largest ${page.most}`;
  const top = make("div", "mi-columns");
  top.append(rule(page), histogram(page));
  const low = make("div", "mi-columns");
  low.append(writes(page, how), near(page, open));
  place.replaceChildren(head, make("p", "mi-facts", facts), top, contexts(page), low);
  place.setAttribute("aria-label", `Feature ${page.id}`);
  return title;
}

// --- the list ---------------------------------------------------------------------------------------------------------------

function drawRow(row, id, order) {
  const item = make("div", row.explained ? "mi-row" : "mi-row mi-unexplained", undefined, { role: "option", id, "aria-selected": "false" });
  const values = { score: row.f1 === null ? "" : `F1 ${row.f1.toFixed(2)}`, frequency: row.density, effect: row.effect, activation: row.most };
  const shown = values[order] ?? values.score;
  item.append(make("span", "mi-id", String(row.id)), make("code", "mi-peaks", row.peaks.join("  ")), make("span", "mi-number", shown));
  const said = ruleLine(row);
  item.append(make("span", "mi-said", row.why ? `${row.why}; ${said}` : said, { title: said }));
  item.dataset.feature = row.id;
  return item;
}

function controls(model, unique) {
  const search = make("input", "", undefined, {
    type: "search", placeholder: "number, token or rule", "aria-label": "Search features by number, token or rule", spellcheck: "false", autocomplete: "off",
  });
  search.value = model.get("query");
  const order = make("select", "", undefined, { "aria-label": "Sort features by" });
  for (const [value, text] of model.get("orders")) order.append(make("option", "", text, { value }));
  order.value = model.get("order");
  const direction = make("button", "", undefined, { type: "button" });
  const random = make("button", "", "any", { type: "button", title: "Open a feature at random", "aria-label": "Open a feature at random" });
  const list = make("div", "mi-list", undefined, { role: "listbox", tabindex: "0", "aria-label": "Features", id: `list-${unique}` });
  const status = make("p", "mi-status", "", { role: "status" });
  return { search, order, direction, random, list, status };
}

function render({ model, el }) {
  const unique = Math.random().toString(36).slice(2);
  const about = model.get("about");
  const root = make("div", "mechinterp-explorer", undefined, { role: "group", "aria-label": `Features of ${about.name}` });
  keepKeys(root);
  const { search, order, direction, random, list, status } = controls(model, unique);
  const place = make("div", "mi-page", undefined, { role: "region", tabindex: "-1" });
  const kept = new Map(model.get("pages").map((page) => [page.id, page]));
  const trail = []; // the features that links were followed from
  let falling = model.get("falling"), total = 0, loaded = 0, active = -1, opened = null, moves = 0, pause = null, loading = false;

  const tell = (sentence) => {
    status.textContent = sentence;
    status.classList.add("mi-told");
    loading = false;
  };
  const { ask, stop } = asker(model, tell);
  const count = () => {
    status.classList.remove("mi-told");
    const all = `${total.toLocaleString("en")} feature${total === 1 ? "" : "s"}`;
    status.textContent = total ? all : `No feature fits “${search.value.trim()}”. Try a number, a whole token as it stands in code, or a word of a rule.`;
  };

  // --- the page
  const open = (feature, focus = false, returning = false) => {
    clearTimeout(pause);
    if (feature === opened && !focus) return;
    moves += 1;
    const draw = (page) => {
      if (returning) trail.pop();
      else if (focus && opened !== null && opened !== page.id) trail.push(opened);
      else if (!focus) trail.length = 0;
      opened = page.id;
      if (status.classList.contains("mi-told")) count();
      const title = drawPage(place, page, about.effects, open, trail.length ? trail[trail.length - 1] : null);
      place.scrollTop = 0;
      if (focus) title.focus({ preventScroll: true });
      mark();
    };
    if (kept.has(feature)) draw(kept.get(feature));
    else ask("page", { feature }, ({ page }) => {
      kept.set(page.id, page);
      draw(page);
    });
  };
  const mark = () => {
    for (const item of list.children) item.classList.toggle("mi-open", Number(item.dataset.feature) === opened);
  };

  // --- the list
  const fill = (rows, from) => {
    if (!from) {
      list.replaceChildren();
      list.scrollTop = 0;
      active = -1;
    }
    for (const row of rows) list.append(drawRow(row, `row-${unique}-${row.id}`, order.value));
    loaded = from + rows.length;
    loading = false;
    mark();
  };
  const activate = (index, show = true) => {
    if (!list.children.length) return;
    list.children[active]?.setAttribute("aria-selected", "false");
    active = Math.max(0, Math.min(index, list.children.length - 1));
    const item = list.children[active];
    item.setAttribute("aria-selected", "true");
    list.setAttribute("aria-activedescendant", item.id);
    // Not scrollIntoView: that would also scroll the notebook.
    const above = item.offsetTop - list.scrollTop, below = above + item.offsetHeight - list.clientHeight;
    if (above < 0) list.scrollTop += above;
    else if (below > 0) list.scrollTop += below;
    clearTimeout(pause);
    if (show) pause = setTimeout(() => open(Number(item.dataset.feature)), kept.has(Number(item.dataset.feature)) ? 0 : PAUSE_MS);
    if (active > loaded - 8) more();
  };
  const question = (from) => ({ query: search.value, order: order.value, falling, from });
  const more = () => {
    if (loading || loaded >= total) return;
    loading = true;
    ask("list", question(loaded), (answer) => fill(answer.rows, answer.from));
  };
  const again = (show) => {
    loading = true;
    const before = moves; // whoever has gone on meanwhile is not called back
    ask("list", question(0), (answer) => {
      total = answer.total;
      fill(answer.rows, 0);
      count();
      if (total) activate(0, show && moves === before);
    });
  };
  const turn = () => {
    direction.textContent = falling ? "↓" : "↑";
    direction.title = falling ? "Largest first; press for smallest first" : "Smallest first; press for largest first";
    direction.setAttribute("aria-label", direction.title);
  };

  // --- what the person does
  let typing = null;
  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => again(true), PAUSE_MS);
  });
  order.addEventListener("change", () => {
    falling = order.value !== "number";
    turn();
    again(true);
  });
  direction.addEventListener("click", () => {
    falling = !falling;
    turn();
    again(true);
  });
  random.addEventListener("click", () => open(Math.floor(Math.random() * about.size)));
  list.addEventListener("click", (event) => {
    const item = event.target.closest("[role=option]");
    if (item) activate([...list.children].indexOf(item));
  });
  list.addEventListener("scroll", () => {
    if (list.scrollTop + list.clientHeight > list.scrollHeight - 200) more();
  });
  list.addEventListener("focus", () => {
    if (active < 0) activate(Math.max(0, [...list.children].findIndex((item) => Number(item.dataset.feature) === opened)), false);
  });
  const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 };
  list.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in steps) activate(active + steps[event.key]);
    else if (event.key === "Home") activate(0);
    else if (event.key === "End") activate(list.children.length - 1);
    else if (event.key === "Enter" && !event.shiftKey) {
      if (active >= 0) open(Number(list.children[active].dataset.feature));
      place.querySelector("h3")?.focus({ preventScroll: true });
    } else return;
    event.preventDefault();
  });
  search.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && search.value) {
      search.value = "";
      again(true);
    } else if (event.key === "ArrowDown" || (event.key === "Enter" && !event.shiftKey)) list.focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  place.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.preventDefault();
    event.stopPropagation();
    list.focus();
  });
  root.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target === search || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    search.focus();
    search.select();
  });

  // --- put together
  const head = make("div", "mi-title");
  head.append(make("strong", "", `Features of ${about.name}`), make("span", "mi-note", about.hook), make("p", "", about.counts));
  head.title = about.how;
  const tools = make("div", "mi-tools");
  tools.append(search, order, direction, random);
  const side = make("div", "mi-side");
  const keys = make("p", "mi-keys", "Keys: / search, ↑ ↓ list, Enter page, Esc back");
  side.append(tools, status, list, keys);
  const body = make("div", "mi-body");
  body.append(side, place);
  root.append(head, body);
  el.append(root);

  turn();
  total = model.get("total");
  fill(model.get("rows"), 0);
  count();
  const [first] = model.get("pages");
  if (first) open(first.id);
  else place.append(make("p", "", "No feature to show."));
  return () => {
    clearTimeout(pause);
    clearTimeout(typing);
    stop();
  };
}

export default { render };
