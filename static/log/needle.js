// What is searched for. As in the service's search, upper and lower case of ASCII letters are the same.

// marked places in one text
const MOST_MARKS = 100;

export class Needle {
  constructor(text) {
    this.text = fold(text);
  }

  isIn(text) {
    return fold(text).includes(this.text);
  }

  // The places in `text` as [begin, end], in order.
  places(text) {
    if (!this.text) return [];
    const folded = fold(text);
    const found = [];
    let at = folded.indexOf(this.text);
    while (at >= 0 && found.length < MOST_MARKS) {
      found.push([at, at + this.text.length]);
      at = folded.indexOf(this.text, at + this.text.length);
    }
    return found;
  }
}

function fold(text) {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}
