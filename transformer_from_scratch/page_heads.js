// All heads at a glance: a small picture of each head's weights, one row a layer. A click chooses the head.
// data: maps (base64 of layers x heads x length x length bytes), layers, heads, length, chosen ([layer, head]),
// position (the row that is marked), names (the tooltip of each head), rows (the name of each layer).
export default function ({ data, parentElement, setTriggerValue }) {
  const grid = parentElement.querySelector(".grid");
  const bytes = Uint8Array.from(atob(data.maps), (letter) => letter.charCodeAt(0));
  const size = data.length * data.length;
  grid.style.gridTemplateColumns = `auto repeat(${data.heads}, minmax(0, 9rem))`;
  const parts = [];
  for (let layer = 0; layer < data.layers; layer++) {
    const name = document.createElement("span");
    name.textContent = data.rows[layer];
    parts.push(name);
    for (let head = 0; head < data.heads; head++) {
      const index = layer * data.heads + head;
      const canvas = document.createElement("canvas");
      canvas.width = canvas.height = data.length;
      canvas.title = data.names[index];
      canvas.className = layer === data.chosen[0] && head === data.chosen[1] ? "chosen" : "";
      canvas.onclick = () => setTriggerValue("chosen", [layer, head]);
      const context = canvas.getContext("2d");
      const image = context.createImageData(data.length, data.length);
      for (let cell = 0; cell < size; cell++) {
        const marked = Math.floor(cell / data.length) === data.position;
        image.data.set([...(marked ? [255, 127, 14] : [31, 119, 180]), bytes[index * size + cell]], cell * 4);
      }
      context.putImageData(image, 0, 0);
      parts.push(canvas);
    }
  }
  grid.replaceChildren(...parts);
}
