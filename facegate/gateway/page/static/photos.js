// Several photos of one person.
import { copyOf, element, find } from "./dom.js";
import { intake } from "./intake.js";

export class Photos {
  /** `changed()` is called when the user changed which photos there are. */
  constructor(host, changed) {
    host.append(copyOf("photos-template"));
    host.setAttribute("role", "group");
    host.setAttribute("aria-label", "Photos");
    this.host = host;
    this.changed = changed;
    this.files = [];
    intake(host, (files) => this.#change([...this.files, ...files]));
    this.set([]);
  }

  #change(files) {
    this.set(files);
    this.changed();
  }

  set(files) {
    const thumbs = find(".thumbs", this.host);
    for (const image of thumbs.querySelectorAll("img")) URL.revokeObjectURL(image.src);
    this.files = files;
    thumbs.replaceChildren(...files.map((file) => this.#thumb(file)));
    find(".empty", this.host).hidden = files.length > 0;
    this.host.classList.toggle("vacant", files.length === 0);
  }

  #thumb(file) {
    const image = element("img", "");
    image.src = URL.createObjectURL(file);
    image.alt = file.name;
    const remove = element("button", "remove", "×");
    remove.type = "button";
    remove.setAttribute("aria-label", `Remove ${file.name}`);
    remove.addEventListener("click", () => {
      this.#change(this.files.filter((other) => other !== file));
      find("input", this.host).focus();
    });
    return element("li", "", image, remove);
  }
}
