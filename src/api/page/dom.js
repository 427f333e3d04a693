// Elements that are changed in place, so that a selection, the focus and a reader's place survive an update.
//
// Everything that comes from outside is inserted as text, never as markup.

export const EM = "\u2003"; // a space that goes away where a line ends

export const byId = (id) => document.getElementById(id);

/** Sets a text only when it changes. */
export function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function make(tag, className, ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

/** Makes `parent` hold one child for each item: by key, in order, changed in place. */
export function each(parent, items, key, create, update) {
  const known = new Map([...parent.children].map((node) => [node.dataset.key, node]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const name = key(item);
    let node = known.get(name);
    known.delete(name);
    if (!node) {
      node = create(item);
      node.dataset.key = name;
    }
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
    update(node, item);
  }
  for (const node of known.values()) node.remove();
}

/** A row of cells; each has a class and, for narrow screens, a label. */
export function row(columns) {
  const tr = make("tr");
  tr.setAttribute("role", "row");
  for (const [className, label] of columns) {
    const td = make("td", className);
    td.setAttribute("role", "cell");
    if (label) td.dataset.label = label;
    tr.append(td);
  }
  return tr;
}

/** A cell's text, with a second line where there is one; a cell without a value is left out on narrow screens. */
export function cell(td, text, second = "") {
  if (td.firstChild?.nodeType !== Node.TEXT_NODE) td.prepend("");
  if (td.firstChild.data !== text) td.firstChild.data = text;
  let small = td.querySelector("small");
  if (!second) small?.remove();
  else {
    if (!small) td.append((small = make("small")));
    put(small, second);
  }
  td.classList.toggle("none", !text || text === "–");
  td.classList.toggle("quiet", text === "–" || text === "0");
}

export function chip(td, state) {
  if (!td.firstElementChild) td.append(make("span"));
  td.firstElementChild.className = `chip ${state}`;
  put(td.firstElementChild, state);
}
