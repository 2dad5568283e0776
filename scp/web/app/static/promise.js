// The choice of what a lossy profile promises, and the warning that goes with it: upload form and study's page.
const kindOf = (profile) => (/^(bounded|lossy)/.exec(profile) ?? [""])[0];

export function follow(form) {
  const choice = form.querySelector(".promise-choice"), note = form.querySelector("#lossy-note");
  const { figure, value } = form.elements;
  const usual = () => { value.value = figure.selectedOptions[0].dataset.usual; value.max = { ratio: 1000, psnr: 150, ssim: 1 }[figure.value]; };
  const show = () => {
    const kind = kindOf(form.elements.profile.value);
    choice.hidden = kind !== "lossy";
    value.required = kind === "lossy";
    note.hidden = !kind;
    for (const words of note.querySelectorAll("[data-of]")) words.hidden = words.dataset.of !== kind;
  };
  figure.addEventListener("change", usual);
  form.addEventListener("change", show);
  usual();
  show();
}
