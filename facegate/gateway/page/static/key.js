// The API key: in memory, and in the tab's session storage only where that was ticked.
import { find } from "./dom.js";

const STORED = "facegate-key";
const dialog = find("#key");
const form = find("form", dialog);
const why = find("#key-why");
const problem = find(".problem", dialog);

let key = sessionStorage.getItem(STORED) ?? "";
let asking = null;

export const current = () => key;

/** Ask for a key; all who ask meanwhile share the answer, whether one was given. */
export function ask(text) {
  asking ??= new Promise((resolve) => {
    why.textContent = text;
    problem.textContent = "";
    form.key.value = "";
    form.keep.checked = sessionStorage.getItem(STORED) !== null;
    dialog.returnValue = "";
    dialog.showModal();
    form.key.focus();
    dialog.addEventListener("close", () => {
      asking = null;
      resolve(dialog.returnValue === "use");
    }, { once: true });
  });
  return asking;
}

export function start() {
  find("#key-button").addEventListener("click", () => ask(
    key ? "A key is in use. Leave the field empty to forget it." : "Only a gateway that was given keys wants one."));
  find("[name=cancel]", dialog).addEventListener("click", () => dialog.close());
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const given = form.key.value.trim();
    if (!/^[\x21-\x7e]*$/.test(given)) {
      problem.textContent = "A key has letters, digits and signs of ASCII only, and no spaces.";
      form.key.focus();
      return;
    }
    key = given;
    form.key.value = "";
    if (form.keep.checked && key) sessionStorage.setItem(STORED, key);
    else sessionStorage.removeItem(STORED);
    dialog.close("use");
  });
}
