"use strict";
/* Draws the report from the data in the page. Only text nodes: nothing that a student wrote is read as HTML. */
const data = JSON.parse(document.getElementById("data").textContent);
const people = new Map(data.students.map((one) => [one.id, one]));
const STATES = { failed: "failed", repaired: "repaired", waiting: "waiting", "not handed in": "missing", graded: "graded" };
const plots = [];
let plotlyIsHere = false;

function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}
const text = (number) => (number === null ? "" : String(Math.round(number * 100) / 100));
const percent = (share) => `${Math.round(100 * share)} %`;
const plural = (n, noun) => `${n} ${noun}${n === 1 ? "" : "s"}`;
const nameOf = (id) => { const one = people.get(id); return one && one.name ? `${one.name} (${id})` : id; };
const into = (id, ...nodes) => document.querySelector(`#${id} > div`).replaceChildren(...nodes.flat(Infinity));

function share(part, label) {
  const bar = el("b"); bar.style.width = `${100 * part}%`;
  return el("span", { class: "share" }, el("i", { "aria-hidden": "true" }, bar), label);
}

/* A table that sorts, searches and shows one page at a time. A column: {head, value(row), show(row)?, number?, title?} */
function table(columns, rows, { search = null, perPage = 25, sort = 0, down = false, label = "" } = {}) {
  let page = 0, by = sort, descending = down, shown = rows;
  const body = el("tbody"), heads = [], place = el("span");
  const back = el("button", { type: "button", onclick: () => { page -= 1; draw(); } }, "Back");
  const on = el("button", { type: "button", onclick: () => { page += 1; draw(); } }, "On");
  const compare = (a, b) => {
    const x = columns[by].value(a), y = columns[by].value(b);
    if (x === null || y === null) return (x === null) - (y === null);
    const order = typeof x === "number" ? x - y : String(x).localeCompare(String(y), undefined, { numeric: true });
    return descending ? -order : order;
  };
  function draw() {
    const sorted = by === null ? shown : [...shown].sort(compare);
    const pages = Math.max(1, Math.ceil(sorted.length / perPage));
    page = Math.min(Math.max(page, 0), pages - 1);
    body.replaceChildren(...sorted.slice(page * perPage, (page + 1) * perPage).map((row) => el("tr", {}, columns.map((column) =>
      el("td", { class: column.number ? "number" : null }, column.show ? column.show(row) : text2(column.value(row)))))));
    heads.forEach((head, i) => head.setAttribute("aria-sort", i === by ? (descending ? "descending" : "ascending") : "none"));
    place.textContent = ` ${page * perPage + (sorted.length ? 1 : 0)}–${Math.min(sorted.length, (page + 1) * perPage)} of ${sorted.length} `;
    back.disabled = page === 0; on.disabled = page === pages - 1;
  }
  const text2 = (value) => (value === null || value === undefined ? "" : typeof value === "number" ? text(value) : value);
  columns.forEach((column, i) => heads.push(el("th", { scope: "col", class: column.number ? "number" : null, title: column.title || null },
    el("button", { type: "button", onclick: () => { descending = by === i ? !descending : Boolean(column.number); by = i; page = 0; draw(); } }, column.head))));
  const tools = el("div", { class: "tools" });
  if (search && rows.length > 10) {
    tools.append(el("input", { type: "search", placeholder: "Find", "aria-label": `Find in ${label}`, oninput: (event) => {
      const wanted = event.target.value.toLowerCase();
      shown = rows.filter((row) => search(row).toLowerCase().includes(wanted)); page = 0; draw();
    } }));
  }
  if (rows.length > perPage) tools.append(el("span", { class: "pager" }, back, place, on));
  draw();
  return el("div", {}, tools, el("div", { class: "wide" }, el("table", { "aria-label": label }, el("thead", {}, el("tr", {}, heads)), body)));
}

/* --- the top, and the whole class ------------------------------------------------------------------------------ */

function drawTop() {
  const count = (state) => data.labs.reduce((sum, lab) => sum + (lab.states[state] || 0), 0);
  const handedIn = data.labs.reduce((sum, lab) => sum + Object.values(lab.states).reduce((a, b) => a + b, 0) - (lab.states["not handed in"] || 0), 0);
  const facts = [[data.students.length, "students"], [handedIn, "submissions"], [count("graded") + count("repaired"), "graded"], [count("failed"), "failed"],
    [count("waiting"), "waiting"], [data.look.length, "to look at"], [data.progress_files, "progress files"]];
  document.getElementById("top").append(
    el("p", { class: "soft" }, data.course), el("h1", {}, `${data.class}: where the class is`),
    el("p", { class: "soft" }, `Made ${data.at.replace("T", " ").replace("+00:00", "")} UTC. This page names students: keep it to yourself.`),
    el("ul", { class: "facts" }, facts.filter(([n, what]) => n || what === "students").map(([n, what]) => el("li", {}, el("b", {}, String(n)), what))));
  const links = [["students", "Who is where"], ["lab", "Lab by lab"], ["help", "Who may need help"], ["look", "To look at"], ["words", "What the words mean"]];
  document.getElementById("contents").append(...links.map(([id, words]) => el("a", { href: `#${id}` }, words)));
}

function drawStudents() {
  const labs = data.labs, sum = (row) => row.cells.reduce((total, [, points]) => total + (points || 0), 0);
  const all = labs.reduce((total, lab) => total + lab.total, 0);
  const columns = [{ head: "Student", value: (row) => row.id }, { head: "Name", value: (row) => row.name },
    ...labs.map((lab, i) => ({ head: lab.stem.slice(0, 2), title: `${lab.title}, of ${text(lab.total)} points`, number: true, value: (row) => row.cells[i][1],
      show: (row) => { const [state, points] = row.cells[i]; return points === null || state === "failed"
        ? el("span", { class: `state ${STATES[state]}` }, state === "failed" ? `failed, ${text(points)}` : state === "waiting" ? "waiting" : "–") : text(points); } })),
    { head: `Of ${text(all)}`, number: true, value: sum, show: (row) => share(all ? sum(row) / all : 0, text(sum(row))) }];
  if (!data.students.some((one) => one.name)) columns.splice(1, 1);
  into("students", data.students.length ? table(columns, data.students, { search: (row) => `${row.id} ${row.name}`, label: "students" })
    : el("p", { class: "empty" }, "There are no students yet."));
}

/* --- one lab ---------------------------------------------------------------------------------------------------- */

function drawTabs() {
  const first = [...data.labs.keys()].filter((i) => data.labs[i].ran).pop() ?? 0;
  const tabs = data.labs.map((lab, i) => el("button", { type: "button", class: "tab", onclick: () => choose(i) }, lab.title));
  document.getElementById("tabs").replaceChildren(...(data.labs.length > 1 ? tabs : []));
  function choose(i) {
    tabs.forEach((tab, j) => tab.setAttribute("aria-pressed", String(i === j)));
    plots.length = 0;
    document.getElementById("lab-body").replaceChildren(...labBody(data.labs[i]));
    if (plotlyIsHere) drawPlots();
  }
  if (data.labs.length) choose(first);
}

function labBody(lab) {
  if (!lab.ran) return [el("p", { class: "empty" }, `Nothing of ${lab.title} is graded yet.`)];
  const few = lab.ran < 10 ? ` With ${plural(lab.ran, "submission")}, shares say little, and no exercise is judged.` : "";
  return [
    el("p", {}, `${plural(lab.ran, "submission")} ran, of ${lab.title} (${text(lab.total)} points).${few}`),
    el("div", { class: "grid" }, plot(pointsPlot(lab)), plot(outcomePlot(lab))),
    el("h3", {}, "Exercises"), exerciseTable(lab), timePlot(lab),
    el("h3", {}, "Mistakes that the class makes"), ...mistakes(lab),
    el("h3", {}, "Answers that are alike"), ...alike(lab)];
}

function exerciseTable(lab) {
  const progress = lab.exercises.some((one) => one.worked);
  const columns = [
    { head: "Exercise", value: (one) => lab.exercises.indexOf(one), show: (one) => el("span", {}, el("code", {}, one.name), one.verdict ? el("span", {}, " ", el("span", { class: "state look" }, one.verdict)) : null) },
    { head: "Passed", title: "Facility: the share that passes, with its 95 % interval", value: (one) => one.facility,
      show: (one) => one.facility === null ? "" : el("span", { title: `95 % interval: ${percent(one.low)} to ${percent(one.high)}` }, share(one.facility, `${percent(one.facility)} of ${one.n}`)) },
    { head: "Goes with rest", number: true, title: "Discrimination: from 20 submissions, 5 of them passed and 5 not", value: (one) => one.discrimination, show: (one) => one.discrimination === null ? "few" : text(one.discrimination) },
    { head: "Left", number: true, title: "The starter stands as it was", value: (one) => one.blank },
    { head: "Fails new inputs", number: true, title: "The visible checks pass, the hidden ones do not", value: (one) => one.hidden },
    { head: "Minutes planned", number: true, value: (one) => one.minutes }];
  if (progress) columns.push(
    { head: "Minutes taken", number: true, title: "Median over the progress files; none below 3", value: (one) => one.took, show: (one) => one.took === null ? (one.worked ? "few" : "") : `${text(one.took)} (n ${one.times.length})` },
    { head: "Hints 1 / 2 / 3", number: true, title: "How many took each hint, of those whose progress file has the exercise", value: (one) => one.hints[0], show: (one) => `${one.hints.join(" / ")} of ${one.worked}` },
    { head: "Looked it up", number: true, value: (one) => one.gave_up });
  const longest = Math.max(...lab.exercises.map((one) => one.seconds));
  if (longest > 2) columns.push({ head: "Check, s", number: true, title: "Median seconds that the check ran in grading", value: (one) => one.seconds });
  return table(columns, lab.exercises, { label: "exercises", perPage: 40 });
}

function mistakes(lab) {
  const rows = lab.exercises.flatMap((exercise) => exercise.mistakes.map((one) => ({ exercise, ...one })));
  rows.sort((a, b) => b.students.length - a.students.length || b.met - a.met);
  if (!rows.length) return [el("p", { class: "empty" }, "No answer behaves like one of the mistakes that have names.")];
  const shown = (some) => some.map((one) => el("div", { class: "mistake" },
    el("p", { class: "head" }, el("b", {}, one.name), el("code", {}, one.exercise.name), share(lab.ran ? one.students.length / lab.ran : 0, `${one.students.length} of ${lab.ran}`)),
    one.says ? el("p", {}, one.says) : null,
    one.met ? el("p", { class: "soft" }, `${plural(one.met, "student")} met it on the way, by their progress files.`) : null,
    one.students.length ? el("details", {}, el("summary", {}, "Who"), el("p", { class: "names" }, one.students.map(nameOf).join(", "))) : null));
  const more = rows.slice(8);
  return [el("div", {}, shown(rows.slice(0, 8))), more.length ? lazy(`${more.length} more`, () => shown(more)) : ""];
}

function lazy(words, make) {
  const body = el("div"), node = el("details", {}, el("summary", {}, words), body);
  node.addEventListener("toggle", () => { if (node.open && !body.childNodes.length) body.append(...make().flat()); });
  return node;
}

function alike(lab) {
  const note = el("p", { class: "soft" }, "Pairs whose answers are nearly the same after names, comments and layout are taken away. Left out: the starter, the course's own solution, short answers, and what many in the class write. "
    + "People who learn together write alike, and some problems have one natural answer. Look at these; nothing here is a verdict.");
  if (!lab.alike.length) return [note, el("p", { class: "empty" }, "None.")];
  const shown = (some) => some.map((pair) => {
    const same = pair.matches.filter((one) => one.same_text).length;
    const words = `${nameOf(pair.who[0])} and ${nameOf(pair.who[1])}: ${pair.matches.length} of ${pair.compared} answers that can be compared` + (same ? `, ${same} to the letter` : "");
    return el("div", { class: "pair" }, lazy(words, () => pair.matches.map((one) => [
      el("p", {}, el("code", {}, one.exercise), ` ${percent(one.similarity)} alike${one.same_text ? ", names and comments too" : ""}`),
      one.codes.length ? el("div", { class: "codes" }, one.codes.map((code) => el("pre", {}, code))) : el("p", { class: "soft" }, "Open both in the formgrader.")])));
  });
  const more = lab.alike.slice(10);
  return [note, el("div", {}, shown(lab.alike.slice(0, 10))), more.length ? lazy(`${more.length} more pairs`, () => shown(more)) : ""];
}

/* --- plots ------------------------------------------------------------------------------------------------------ */

function plot(make) {
  const node = el("div", { class: "plot", role: "img", "aria-label": make.alt });
  node.style.height = `${make.height || 320}px`;
  plots.push([node, make]);
  return el("figure", {}, el("figcaption", {}, make.title), node);
}
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

function pointsPlot(lab) {
  const wide = Math.max(1, Math.ceil(lab.total / 20)), bins = new Map();
  for (const points of lab.points) { const bin = Math.min(Math.floor(points / wide), Math.floor(lab.total / wide)); bins.set(bin, (bins.get(bin) || 0) + 1); }
  const xs = [...Array(Math.floor(lab.total / wide) + 1).keys()];
  const middle = [...lab.points].sort((a, b) => a - b)[Math.floor(lab.points.length / 2)];
  const label = (bin) => { const from = bin * wide, to = Math.min(from + wide - 1, lab.total); return from === to ? `${from}` : `${from}–${to}`; };
  return { title: "Points", alt: `Histogram of points in ${lab.title}: ${plural(lab.ran, "submission")}, median ${text(middle)} of ${text(lab.total)}.`, x: `points, of ${text(lab.total)}`, y: "submissions",
    traces: () => [{ type: "bar", x: xs.map(label), y: xs.map((bin) => bins.get(bin) || 0), marker: { color: colour("bar") }, hovertemplate: "%{x} points: %{y}<extra></extra>" }], layout: { xaxis: { type: "category" }, yaxis: { dtick: Math.max(...bins.values()) < 8 ? 1 : null }, bargap: 0.08 } };
}

function outcomePlot(lab) {
  const rows = [...lab.exercises].reverse(), names = rows.map((one) => one.name);
  const named = (one) => one.mistakes.reduce((sum, mistake) => sum + mistake.students.length, 0);
  const other = (one) => Math.max(0, one.n - one.passed - named(one) - one.blank);
  const bar = (name, value, fill) => ({ type: "bar", orientation: "h", name, y: names, x: rows.map(value), marker: { color: fill }, hovertemplate: `%{y}: %{x} ${name}<extra></extra>` });
  return { title: "What became of each exercise", alt: `Stacked bars: for each exercise of ${lab.title}, how many passed, made a named mistake, failed otherwise, or left it. The table below has the numbers.`, x: "submissions", y: "",
    traces: () => [bar("passed", (one) => one.passed, colour("good")), bar("a named mistake", named, colour("look")), bar("another fault", other, colour("bad")), bar("left as it was", (one) => one.blank, colour("line"))],
    layout: { barmode: "stack", bargap: 0.25, legend: { orientation: "h", x: 0, xanchor: "left", y: 1.02, yanchor: "bottom", traceorder: "normal", font: { size: 12 } }, yaxis: { automargin: true, dtick: 1 }, margin: { t: 50 } }, height: 130 + 26 * rows.length };
}

function timePlot(lab) {
  const rows = lab.exercises.filter((one) => one.times.length).reverse();
  if (!rows.length) return el("p", { class: "soft" }, "No times: they come from progress files, and at least three students have to hand theirs in.");
  return plot({ title: "Minutes for each exercise, by the progress files", alt: `Box plots of minutes for each exercise; the table above has the medians.`, x: "minutes (♦ planned)", y: "",
    traces: () => [...rows.map((one) => ({ type: "box", orientation: "h", name: one.name, x: one.times, marker: { color: colour("bar"), size: 4 }, boxpoints: one.times.length < 60 ? "all" : "outliers", jitter: 0.4, pointpos: 0, showlegend: false, hoverinfo: "x" })),
      { type: "scatter", mode: "markers", x: rows.map((one) => one.minutes), y: rows.map((one) => one.name), marker: { symbol: "diamond", size: 9, color: colour("look") }, showlegend: false, hovertemplate: "planned: %{x} min<extra></extra>" }],
    layout: { yaxis: { automargin: true, dtick: 1 }, xaxis: { rangemode: "tozero" } }, height: 80 + 36 * rows.length });
}

function drawPlots() {
  plotlyIsHere = true;
  const ink = colour("ink"), grid = colour("line");
  for (const [node, { x, y, traces, layout }] of plots) {
    const axis = (own, words) => ({ gridcolor: grid, zerolinecolor: grid, linecolor: grid, title: { text: words }, ...own });
    Plotly.react(node, traces(), { font: { family: "inherit", size: 13, color: ink }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", 
      margin: { t: 12, r: 10, b: 50, l: 50, ...layout.margin }, ...layout, xaxis: axis(layout.xaxis, x), yaxis: axis(layout.yaxis, y), dragmode: false }, { displayModeBar: false, responsive: true });
  }
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plotlyIsHere && drawPlots());

/* --- help, and what to look at ---------------------------------------------------------------------------------- */

function drawHelp() {
  const columns = [{ head: "Student", value: (row) => row.id, show: (row) => nameOf(row.id) }, { head: "Points missed", number: true, value: (row) => row.missed },
    { head: "Why they are here", value: (row) => row.reasons.join("; "), show: (row) => el("ul", { class: "plain" }, row.reasons.map((one) => el("li", {}, one))) }];
  into("help", el("p", { class: "soft" }, "Listed: handed in nothing where most did; less than half of a lab's points and among the lowest fifth of the class; two or more important exercises not passed that most passed; answers looked up. Nobody is ranked by this: it says whom to ask."),
    data.help.length ? table(columns, data.help, { search: (row) => `${row.id} ${nameOf(row.id)} ${row.reasons.join(" ")}`, sort: 1, down: true, perPage: 15, label: "students who may need help" }) : el("p", { class: "empty" }, "Nobody, by these rules."));
}

function drawLook() {
  const list = (row) => el("ul", { class: "plain" }, [row.reason, ...row.repairs].filter(Boolean).map((one) => el("li", {}, one)), row.flags.map((one) => el("li", {}, el("span", { class: "state look" }, "unusual"), ` ${one}`)));
  const columns = [{ head: "Student", value: (row) => row.id, show: (row) => nameOf(row.id) }, { head: "Lab", value: (row) => row.lab },
    { head: "State", value: (row) => row.state, show: (row) => el("span", { class: `state ${STATES[row.state]}` }, row.state) },
    { head: "What there is to see", value: (row) => -row.flags.length, show: list }];
  into("look", el("p", { class: "soft" }, "Failed, mended before grading, unusual, or waiting because the grader itself stopped. An unusual line can be an accident: read the submission first."),
    data.look.length ? table(columns, data.look, { search: (row) => [row.id, row.lab, row.state, row.reason, ...row.repairs, ...row.flags].join(" "), sort: 3, perPage: 15, label: "submissions to look at" }) : el("p", { class: "empty" }, "None."));
}

function drawWords() {
  const words = [
    ["passed (facility)", "The share of the submissions that ran and have all points of the exercise. The interval beside it (Wilson, 95 %) says how sure that is. “Looks too hard”: the whole interval is below 40 %. “Looks too easy”: above 90 %. Nothing is said below 10 submissions."],
    ["goes with the rest (discrimination)", "The correlation between passing the exercise and the points in the rest of the lab. Near 0: passing it says nothing about the lab, and its check deserves a look. It needs 20 submissions, 5 that pass and 5 that do not."],
    ["a named mistake", "The answer behaves like one of the wrong answers that the course knows, on every input of the check."],
    ["repaired, failed, unusual", "Repaired: cells that were deleted, doubled or changed were put back as released before grading. Failed: there was no notebook to grade. Unusual: something in the code that an honest answer rarely holds."],
    ["fails new inputs", "The visible checks pass and the hidden ones do not: an answer that fits the examples only."],
    ["minutes taken", "From progress files: the time before each check or hint, pauses over 20 minutes left out. A file is handed in by choice and comes from the student's own computer."],
    ["what a score shows", "All solutions of the course are public. Scores measure learning; they do not prove honesty."]];
  into("words", el("dl", {}, words.map(([word, means]) => [el("dt", {}, word), el("dd", {}, means)])));
}

drawTop(); drawStudents(); drawTabs(); drawHelp(); drawLook(); drawWords();

/* plotly is megabytes: the page is there and can be read before its turn comes. */
const { nonce } = document.currentScript;
requestAnimationFrame(() => setTimeout(() => {
  const script = el("script", { nonce });
  script.textContent = document.getElementById("plotly").textContent;
  document.body.append(script);
  drawPlots();
}));
