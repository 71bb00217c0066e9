// Labels: "name: value" a line, both ways.

/** The labels in `text`. Throws an Error that says which line is none. */
export function parsed(text) {
  const labels = {};
  for (const line of text.split("\n").filter((each) => each.trim())) {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon).trim();
    if (colon < 0 || !name) throw new Error(`“${line.trim()}” is no label: write a name, a colon and a value.`);
    labels[name] = line.slice(colon + 1).trim();
  }
  return labels;
}

export const written = (labels) => Object.entries(labels).map(([name, value]) => `${name}: ${value}`).join(", ");
