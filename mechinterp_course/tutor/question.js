// The form of one question: radio buttons for the choices, radio buttons for "how sure", one button, and room for the reply.
// All texts come from Python, escaped there (question_view.py). The kernel gets { choice, sure } and answers with `result`.

const PATIENCE_MS = 3000; // a kernel that is busy with another cell answers later, and its answer replaces the sentence

// In command mode JupyterLab takes the arrow keys for itself; on an element with this attribute they stay its own.
const OWN_KEYS = "data-lm-suppress-shortcuts";

function keepKeys(input) {
  input.setAttribute(OWN_KEYS, "true");
  input.addEventListener("keydown", (event) => {
    const shortcut = event.ctrlKey || event.metaKey || event.altKey || (event.shiftKey && event.key === "Enter");
    if (!shortcut || !event.isTrusted) return;
    // Ctrl+S, Shift+Enter and the like are JupyterLab's: hand them on.
    input.removeAttribute(OWN_KEYS);
    const again = new KeyboardEvent("keydown", event);
    input.dispatchEvent(again);
    input.setAttribute(OWN_KEYS, "true");
    if (again.defaultPrevented) event.preventDefault();
  });
}

function radios(name, legend, labels, values, chosen) {
  const group = document.createElement("fieldset");
  const title = document.createElement("legend");
  title.innerHTML = legend;
  group.append(title);
  labels.forEach((html, i) => {
    const label = document.createElement("label");
    const input = document.createElement("input");
    input.type = "radio";
    input.name = name;
    input.value = values[i];
    input.checked = values[i] === chosen;
    keepKeys(input);
    const text = document.createElement("span");
    text.innerHTML = html;
    label.append(input, text);
    group.append(label);
  });
  return group;
}

function chosenIn(group) {
  const input = group && group.querySelector("input:checked");
  return input ? Number(input.value) : null;
}

function render({ model, el }) {
  const unique = Math.random().toString(36).slice(2);
  const form = document.createElement("form");
  form.className = "mechinterp-question";

  const labels = model.get("choices");
  const choices = radios(`choice-${unique}`, model.get("question"), labels, [...labels.keys()], model.get("choice"));
  form.append(choices);

  const percents = model.get("percents");
  let sure = null;
  if (percents.length) {
    const shown = percents.map((percent) => `${percent} %`);
    sure = radios(`sure-${unique}`, "How sure are you?", shown, percents, model.get("sure"));
    sure.className = "mechinterp-sure";
    form.append(sure);
  }

  const button = document.createElement("button");
  button.type = "submit";
  button.textContent = model.get("button");
  const result = document.createElement("div");
  result.setAttribute("role", "status"); // a screen reader reads the reply aloud
  let waiting = null;
  const showResult = () => {
    clearTimeout(waiting);
    result.innerHTML = model.get("result");
  };
  showResult();
  form.append(button, result);

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      result.innerHTML = "<p>Nothing answers here: run this cell again (Shift+Enter), then choose.</p>";
    }, PATIENCE_MS);
    // In a notebook that was saved and opened again the form is a picture of itself, until its cell runs.
    try {
      model.send({ choice: chosenIn(choices), sure: chosenIn(sure) });
    } catch {
      // The sentence above tells what to do.
    }
  });
  model.on("msg:custom", showResult); // the kernel has answered; the same answer twice is no change of `result`
  el.append(form);
  return () => model.off("msg:custom", showResult);
}

export default { render };
