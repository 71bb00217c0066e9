// One picture, and what was found in it.
import { copyOf, find } from "./dom.js";
import { draw } from "./draw.js";
import { intake } from "./intake.js";

export class Picture {
  #marks = [];

  /** `changed()` is called when the picture is another one, `extra(files)` with files that came beside it. */
  constructor(host, title, { changed, extra = () => {} }) {
    host.append(copyOf("picture-template"));
    host.setAttribute("role", "group");
    host.setAttribute("aria-label", title);
    find(".title", host).textContent = title;
    this.title = title;
    this.host = host;
    this.file = null;
    this.changed = changed;
    this.image = find("img", host);
    this.canvas = find("canvas", host);
    this.about = find(".about", host);
    intake(host, ([first, ...others]) => {
      this.set(first);
      extra(others);
    });
    find("[name=remove]", host).addEventListener("click", () => {
      this.set(null);
      find("input", host).focus();
    });
    this.image.addEventListener("load", () => this.#redraw());
    this.image.addEventListener("error", () => this.#hide());
    new ResizeObserver(() => this.#redraw()).observe(this.image);
    this.set(null);
  }

  set(file) {
    URL.revokeObjectURL(this.image.src);
    this.file = file;
    this.host.classList.toggle("vacant", !file);
    find(".frame", this.host).hidden = !file;
    find(".empty", this.host).hidden = Boolean(file);
    find(".empty", this.host).textContent = "Drop a picture here, or paste one";
    find("[name=remove]", this.host).hidden = !file;
    find(".problem", this.host).textContent = "";
    if (file) {
      this.image.src = URL.createObjectURL(file);
      this.image.alt = `${this.title}: ${file.name}`;
    } else {
      this.image.removeAttribute("src");
    }
    this.mark([], "");
    this.changed();
  }

  /** Draw `marks` (draw.js) and say `about` beneath. */
  mark(marks, about) {
    this.#marks = marks;
    this.about.textContent = about || (this.file ? this.file.name : "");
    this.#redraw();
  }

  #redraw() {
    const { naturalWidth: width, naturalHeight: height } = this.image;
    if (this.file && width) draw(this.canvas, { width, height }, this.#marks);
  }

  #hide() { // a file that the browser cannot show is the server's to judge
    if (!this.file) return;
    find(".frame", this.host).hidden = true;
    find(".empty", this.host).hidden = false;
    find(".empty", this.host).textContent = "The browser cannot show this file.";
  }
}
