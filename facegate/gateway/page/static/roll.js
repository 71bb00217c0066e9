// Everybody enrolled, a page at a time, and forgetting.
import { call } from "./api.js";
import { element, find } from "./dom.js";
import { written } from "./labels.js";
import { Result } from "./result.js";

const PAGE = 20;

export class Roll {
  #next = "";

  /** `addPhotos(person)` is asked for by a person's button; `changed()` is called when somebody was forgotten. */
  constructor(view, { addPhotos, changed }) {
    this.view = view;
    this.addPhotos = addPhotos;
    this.changed = changed;
    this.list = find(".roll", view);
    this.more = find(".more", view);
    this.result = new Result(find(".result", view));
    this.more.addEventListener("click", () => this.#load(this.#next));
  }

  /** Read the list anew. */
  show() {
    return this.#load("");
  }

  #load(token) {
    return this.result.run("Reading…", async (signal) => {
      const query = new URLSearchParams({ page_size: PAGE, ...(token && { page_token: token }) });
      const { people, next_page_token: next } = await call(`v1/face/people?${query}`, null, signal);
      if (!token) this.list.replaceChildren();
      this.list.append(...people.map((person) => this.#row(person)));
      this.#next = next ?? "";
      this.more.hidden = !this.#next;
      this.result.clear();
      if (!this.list.children.length) this.#say("Nobody yet.");
    });
  }

  #row(person) {
    const photos = person.photos === 1 ? "1 photo" : `${person.photos} photos`;
    const since = element("time", "", new Date(person.registered_at).toLocaleString());
    since.dateTime = person.registered_at;
    const facts = element("p", "hint", `${photos}, since `, since);
    const shown = written(person.labels);
    if (shown) facts.append(` · ${shown}`);
    const row = element("li", "", element("div", "who", element("strong", "", person.name), facts),
      this.#button("Add photos", person, () => this.addPhotos(person)),
      this.#button("Forget", person, () => this.#forget(person, row)));
    return row;
  }

  #button(text, person, act) {
    const button = element("button", "", text);
    button.type = "button";
    button.setAttribute("aria-label", `${text}: ${person.name}`);
    button.addEventListener("click", act);
    return button;
  }

  async #forget(person, row) {
    if (!(await confirmed(person))) return;
    await this.result.run("Forgetting…", async (signal) => {
      await call("v1/face/forget", { id: person.id }, signal);
      row.remove();
      this.#say(`${person.name} is forgotten.`);
      find("h2", this.view).focus(); // the button that had the focus is gone
      this.changed();
    });
  }

  #say(text) {
    this.result.verdict.replaceChildren(element("p", "", text));
  }
}

function confirmed(person) {
  const dialog = find("#forget");
  find("h2", dialog).textContent = `Forget ${person.name}?`;
  find("#forget-what").textContent = "The name, the labels and every number that the face was recognised by are deleted for good.";
  find("[name=cancel]", dialog).onclick = () => dialog.close();
  find("[name=forget]", dialog).onclick = () => dialog.close("forget");
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "forget"), { once: true });
  });
}
