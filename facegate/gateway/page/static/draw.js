// Boxes and landmarks over a picture, in the picture's own pixels, as sharp as the screen shows it.

const LOOKS = {
  real: { colour: "#3ddc84", dash: [] },
  fake: { colour: "#ff5c4d", dash: [10, 5] },
  unchecked: { colour: "#6cb8ff", dash: [] },
  aside: { colour: "#d0d4da", dash: [3, 4] },
};

/** `marks`: `{region: {x, y, w, h}, landmarks?: [[x, y], ...], look, label?}`; `size`: the picture's width and height. */
export function draw(canvas, size, marks) {
  const shown = canvas.getBoundingClientRect();
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(shown.width * ratio);
  canvas.height = Math.round(shown.height * ratio);
  const context = canvas.getContext("2d");
  const scale = { x: shown.width / size.width, y: shown.height / size.height };
  context.scale(ratio, ratio);
  for (const mark of marks) drawOne(context, mark, scale, shown);
}

function drawOne(context, { region, landmarks = [], look, label }, scale, shown) {
  const { colour, dash } = LOOKS[look];
  const box = [region.x * scale.x, region.y * scale.y, region.w * scale.x, region.h * scale.y];
  stroke(context, "rgb(0 0 0 / 65%)", 4, [], box);
  stroke(context, colour, 2, dash, box);
  for (const [x, y] of landmarks) {
    context.beginPath();
    context.arc(x * scale.x, y * scale.y, Math.max(2, box[2] / 60), 0, 2 * Math.PI);
    context.fillStyle = colour;
    context.fill();
    context.lineWidth = 1;
    context.strokeStyle = "rgb(0 0 0 / 75%)";
    context.stroke();
  }
  if (label) tag(context, label, colour, box, shown);
}

function stroke(context, colour, width, dash, box) {
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.setLineDash(dash);
  context.strokeRect(...box);
  context.setLineDash([]);
}

function tag(context, text, colour, [x, y, , height], shown) {
  context.font = "600 13px system-ui, sans-serif";
  const width = context.measureText(text).width + 10;
  const above = y - 21;
  const left = Math.max(0, Math.min(x - 1, shown.width - width));
  const top = above >= 0 ? above : Math.min(y + height + 1, shown.height - 20);
  context.fillStyle = colour;
  context.fillRect(left, top, width, 20);
  context.fillStyle = "#10151c";
  context.textBaseline = "middle";
  context.fillText(text, left + 5, top + 10.5);
}
