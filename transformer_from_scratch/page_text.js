// The text as a row of keys to press: each character on a shade of its own, a number below it where that says something.
// data: characters, glyphs, alphas (one row for all, or a row for each character under the mouse), percents (same
// shape), colour ("r,g,b"), chosen (index), least (percent from which the number is written).
export default function ({ data, parentElement, setTriggerValue }) {
  const row = parentElement.querySelector(".row");
  const cells = data.glyphs.map((glyph, index) => {
    const cell = document.createElement("span");
    const number = document.createElement("small");
    cell.className = index === data.chosen ? "cell chosen" : "cell";
    cell.append(glyph, number);
    cell.onclick = () => setTriggerValue("chosen", index);
    if (data.alphas.length > 1) {
      cell.onmouseenter = () => paint(index);
      cell.onmouseleave = () => paint(data.chosen);
    }
    return cell;
  });
  const breaks = (cell, index) => (data.characters[index] === "\n" ? [cell, document.createElement("br")] : [cell]);
  row.replaceChildren(...cells.flatMap(breaks));

  function paint(looking) {
    const at = data.alphas.length > 1 ? looking : 0;
    cells.forEach((cell, index) => {
      const percent = data.percents[at][index];
      cell.style.backgroundColor = `rgba(${data.colour},${data.alphas[at][index]})`;
      cell.lastChild.textContent = percent !== null && percent >= data.least ? Math.round(percent) : "";
      cell.title = percent === null ? data.glyphs[index] : `${data.glyphs[index]}  ${percent.toFixed(1)} %`;
      cell.classList.toggle("looking", data.alphas.length > 1 && index === looking);
    });
  }
  paint(data.chosen);

  // The arrow keys walk through the text.
  row.onkeydown = (event) => {
    const next = data.chosen + { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (next >= 0 && next < cells.length) {
      event.preventDefault();
      setTriggerValue("chosen", next);
    }
  };
}
