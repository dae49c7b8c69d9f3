import { load, save } from './store.js'
import { reportReady } from './updater.js'

const list = document.getElementById('items')
const form = document.getElementById('add')
const clear = document.getElementById('clear')

let items = load()

function render() {
  list.replaceChildren(...items.map((item) => {
    const box = document.createElement('input')
    box.type = 'checkbox'
    box.checked = item.packed
    box.addEventListener('change', () => change(() => { item.packed = box.checked }))

    const label = document.createElement('label')
    label.append(box, item.what)
    const row = document.createElement('li')
    row.append(label)
    return row
  }))
  const packed = items.filter((item) => item.packed).length
  document.getElementById('progress').value = items.length ? `${packed} of ${items.length}` : ''
  document.getElementById('empty').hidden = items.length > 0
  clear.hidden = packed === 0
}

function change(how) {
  how()
  save(items)
  render()
}

form.addEventListener('submit', (event) => {
  event.preventDefault()
  const what = new FormData(form).get('what').trim()
  if (what) change(() => { items.push({ what, packed: false }) })
  form.reset()
})

clear.addEventListener('click', () => change(() => { items = items.filter((item) => !item.packed) }))

render()

// Only now: a bundle that fails before it could draw anything must be rolled back.
reportReady().then((bundle) => {
  document.getElementById('bundle').textContent = bundle
})
