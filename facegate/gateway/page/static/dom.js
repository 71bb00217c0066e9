// Elements. What comes from a server or a file is only ever text, never markup.

export const find = (selector, root = document) => root.querySelector(selector);

export function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

export function copyOf(template) {
  return find(`#${template}`).content.cloneNode(true);
}

/** A table: the words of its caption and heads, and rows of cells, each a text or an element. */
export function table(caption, heads, rows) {
  const headRow = element("tr", "", ...heads.map((head) => {
    const cell = element("th", "", head);
    cell.scope = "col";
    return cell;
  }));
  const bodyRows = rows.map((cells) => element("tr", "", ...cells.map((cell) => element("td", "", cell))));
  return element("div", "scroll", element("table", "",
    element("caption", "", caption), element("thead", "", headRow), element("tbody", "", ...bodyRows)));
}
