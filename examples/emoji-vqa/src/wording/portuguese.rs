//! Portuguese, mostly of Brazil, with what people in Portugal say as well.

use super::frames::Wording;
use super::grammar::Grammar;
use super::surface::{Surface, transcribed};

pub(super) static TEMPLATES: Wording = Wording {
    describe: "Descreva a imagem.",
    relate: "Descreva cada coisa.",
    naming: &["O que é isto?", "O que a imagem mostra?", "O que há na imagem?"],
    category: &["Que tipo de coisa é esta?", "A que categoria isto pertence?"],
    exist: &["Há “{}” na imagem?", "A imagem mostra “{}”?"],
    count: &["Quantas vezes aparece “{}”?", "Quantas vezes você vê “{}”?"],
    colour: &["Qual é a cor atrás de “{}”?", "Que cor está atrás de “{}”?"],
    background: &["Qual é a cor do fundo?", "De que cor é o fundo?"],
    corner: &["O que há no {}?", "O que está no {}?"],
    right_of: &["O que há à direita de “{}”?", "O que está à direita de “{}”?"],
    above: &["O que há acima de “{}”?", "O que está acima de “{}”?"],
    corners: [
        "canto superior esquerdo",
        "canto superior direito",
        "canto inferior esquerdo",
        "canto inferior direito",
    ],
    truth: ["sim", "não"],
    caption: "{} em fundo {}",
    labelled: "{}: {}",
    and_right: ", à direita: {}",
    and_above: ", acima: {}",
};

pub(super) static GRAMMAR: Grammar = Grammar {
    naming: &[
        "(o que|que|o quê) é (isto|isso|este|esse|aquilo)",
        "o que (é|são) (isto|isso) (aqui|aí|na imagem|na figura)",
        "o que (a|esta|essa) (imagem|figura|foto|ilustração) (mostra|representa|apresenta)",
        "o que (há|tem|existe|aparece|está|se vê) (na|nesta|nessa) (imagem|figura|foto)",
        "o que (há|tem|aparece|temos) (aqui|aí|ali)",
        "o que (você|tu|) (vê|está vendo|reconhece|consegue ver) (|aqui|na imagem|na figura)",
        "o que (estás a ver|vês) (|aqui|na imagem)",
        "(que|qual) (coisa|objeto|figura|desenho) é (este|esse|isto|isso)",
        "!(que|qual) {k} (é isso|é isto|aparece na imagem|você vê|está na figura)",
        "!(que|qual) {k} (há|tem|temos) (aqui|na imagem|na figura)",
        "(qual é|qual) o nome (disto|disso|dessa coisa|deste objeto|do objeto|do que aparece)",
        "como (se chama|é chamado|é o nome) (isto|isso|este objeto|essa coisa)",
        "(diga|diz|fala|me diga|diga-me|me fala) o que (é isto|é isso|você vê|aparece aqui).",
        "(nomeie|identifique|reconheça) (isto|isso|o objeto|a coisa|o que aparece na imagem).",
        "(você sabe|sabe|sabes|faz ideia) o que é (isto|isso|aquilo)",
        "(pode|poderia|consegue|podes) (me dizer|dizer|identificar) o que é (isto|isso)",
        "(e isto|e isso|e este|e esse aqui|e este aqui)",
        "(nome|o quê|identifique|o que é)",
        "(isto|isso) (é|seria) o quê",
        "(quero|queria|gostaria de) saber o que é (isto|isso).",
        "(que|qual) (emoji|desenho|ícone) é (este|esse)",
        "(adivinhe|adivinha) o que é (isto|isso).",
    ],
    category: &[
        "que (tipo|espécie|gênero) de (coisa|objeto) é (isto|isso|esta|essa|este|esse)",
        "que (tipo|espécie) de (coisa|objeto) (você vê|aparece|há na imagem|a imagem mostra)",
        "(a que|em que|a qual|em qual) (categoria|classe|grupo) (isto|isso) (pertence|se encaixa|entra|fica)",
        "(que|qual) (categoria|classe|grupo) é (esta|essa|este|esse|a disto)",
        "(qual é|qual) a (categoria|classe|espécie) (disto|disso|desta coisa|do objeto|da imagem)",
        "como (você classifica|classificar|você classificaria|se classifica) (isto|isso|esta coisa)",
        "(classifique|categorize|classifica) (isto|isso|o objeto|a coisa|a imagem).",
        "(categoria|classe|tipo|tipo de coisa|espécie)",
        "(isto|isso) é (um animal, uma planta|animal, planta|comida, animal) ou (outra coisa|um objeto)",
        "(animal, planta ou objeto|animal, comida ou coisa|é animal, veículo ou o quê)",
        "(diga|diz|me diga) (a categoria|a classe|o tipo) (disto|disso|deste objeto|da coisa).",
        "(diga|diz|me diga) que tipo de coisa é (isto|isso|esta).",
        "(isto|isso) é de que (tipo|categoria|espécie|classe)",
        "(pode|poderia|consegue) (dizer|me dizer) (o tipo|a categoria|a classe) (disto|disso)",
        "(de que|qual|que) tipo é (isto|isso|este|esse)",
        "(isto|isso) (pertence|corresponde) a (que|qual) (categoria|grupo|classe|tipo)",
    ],
    exist: &[
        "(há|tem|existe|existem) {um} (|aqui|na imagem|nesta imagem|na figura|aí|na foto)",
        "(há|tem|existe) (algum sinal de|alguma imagem de|algum desenho de) {x} (|aqui|na imagem)",
        "(você|tu|) (vê|está vendo|consegue ver|enxerga) {um} (|aqui|na imagem|na figura)",
        "(vês|estás a ver|consegues ver) {um} (|aqui|na imagem)",
        "(a|esta|essa) (imagem|figura|foto) (mostra|tem|contém|inclui|apresenta) {um}",
        "(aparece|dá para ver|se vê|vê-se|nota-se) {um} (|aqui|na imagem|na figura)",
        "na (imagem|figura|foto) (há|tem|aparece|existe) {um}",
        "(aqui|aí) (há|tem|aparece) {um}",
        "(há|tem) {q} (na imagem|aqui|na figura|nesta foto)",
        "{q} (aparece|está|existe) (na imagem|aqui|na figura)",
        "(estou procurando|procuro|estou à procura de|queria achar) {um}, (tem|há) (|aqui|na imagem)",
        "(há|tem) {um} (|aqui|na imagem), (certo|não é|né|sim ou não|verdade)",
        "{um}(, sim ou não|: sim ou não|, tem|, há)",
        "!(isto|isso|este|esse) é {um}",
        "(diga|me diga|veja|verifique) se (há|tem|aparece) {um} (|aqui|na imagem).",
        "(consegue|pode|poderia) (encontrar|achar|ver) {um} (|aqui|na imagem)",
        "(será que|por acaso) (há|tem) {um} (|aqui|na imagem)",
        "tem (algum|alguma coisa como|a figura de) {q} (aqui|na imagem)",
    ],
    count: &[
        "{quantos} (|há|tem|existem|aparecem|há aqui|há na imagem|tem na imagem|tem aqui)",
        "{quantos} (você vê|você está vendo|dá para ver|consegue contar|vês) (|aqui|na imagem)",
        "{quantos} (a|esta) (imagem|figura) (mostra|tem|contém)",
        "quantas vezes (aparece|se vê|você vê|há|ocorre) {x} (|aqui|na imagem)",
        "quantas vezes {q} (aparece|é mostrado|está na imagem)",
        "(conte|conta|contar) {os} (|aqui|da imagem|na imagem|que você vê).",
        "(o|qual o|qual é o) número de {s} (|aqui|na imagem)",
        "(a|qual a|qual é a) quantidade de {s} (|aqui|na imagem|que você vê)",
        "(pode|poderia|consegue) contar {os} (|aqui|da imagem|para mim)",
        "{s}(, quantos|: quantos|, quantos são|? quantos)",
        "(diga|me diga|diz) {quantos} (há|tem|você vê|aparecem).",
        "(há|tem|existem|você vê) {quantos} (|aqui|na imagem)",
        "número de {s}",
        "na (imagem|figura) (há|tem|aparecem) {quantos}",
        "{q}(, quantas vezes|: quantas vezes|, quantos são)",
        "{quantos} são (ao todo|no total|mostrados|visíveis)",
    ],
    colour: &[
        "(qual é|qual) a cor (atrás|por trás|detrás) {do}",
        "que cor (está|há|tem|fica|aparece) (atrás|por trás) {do}",
        "(qual é|qual) a cor (do fundo|de fundo|do plano de fundo|do quadrado) (|atrás) {do}",
        "(de que|de qual) cor é o (fundo|plano de fundo|quadrado) {do}",
        "(em|sobre|diante de) que cor (está|estão|fica|aparece) {o}",
        "{o} (está|fica|aparece) (em|sobre|diante de) (que|qual) cor",
        "{o} tem (que|qual) (cor de fundo|fundo)",
        "(atrás|por trás) {do}(, que cor|, qual é a cor|: que cor|, que cor há)",
        "(a |)cor (atrás|por trás|do fundo|de fundo) {do}",
        "(diga|diz|me diga|fale) a cor (atrás|do fundo|por trás) {do}.",
        "(que|qual) cor (você vê|vês|está vendo) (atrás|por trás) {do}",
        "(qual é a|que) cor (está |)atrás de {q}",
        "(qual|que) é a cor (que fica|que está) (atrás|em volta) {do}",
        "{o}(, qual a cor do fundo|: cor do fundo|, que cor tem atrás)",
        "(que|qual) cor (cerca|envolve|rodeia) {o}",
        "o fundo {do} (é|tem) (que|qual) cor",
        "(pode|poderia) (me dizer|dizer) a cor (atrás|do fundo) {do}",
    ],
    background: &[
        "(qual é|qual) a cor (do fundo|de fundo|do plano de fundo|da parte de trás)",
        "(de que|de qual|que|qual) cor é o (fundo|plano de fundo|fundo da imagem)",
        "(cor de fundo|fundo|cor do fundo|plano de fundo|a cor do fundo)",
        "o (fundo|plano de fundo) (é|tem|está em) (que|qual) cor",
        "o (fundo|plano de fundo) é de (que|qual) cor",
        "que cor (há|tem|aparece|você vê) (no fundo|atrás|ao fundo|no plano de fundo)",
        "(diga|diz|me diga|fale|indique) a cor (do fundo|de fundo|do plano de fundo).",
        "(em|sobre|diante de) que cor (está|fica|ele está|ela está)",
        "(que|qual) fundo (é esse|a imagem tem|tem a imagem|aparece)",
        "(que|qual) cor (foi usada|usaram|tem) (no fundo|como fundo|para o fundo)",
        "(pode|poderia|consegue) (me dizer|dizer) a cor (do fundo|de fundo)",
        "(e o fundo|e a cor do fundo|e o fundo, que cor)",
        "(qual é|qual) a cor (atrás|por trás) (dele|dela|disso|disto)",
        "(a|esta) (imagem|figura) tem (que|qual) (cor de fundo|fundo)",
        "(o fundo|a cor do fundo)(, qual é|, que cor| qual é|: qual)",
    ],
    corner: &[
        "o que (há|está|tem|aparece|fica|se vê) {c}",
        "o que (você vê|você está vendo|vês|dá para ver|consegue ver) {c}",
        "(que|qual) (coisa|objeto|figura|desenho) (está|fica|aparece|há) {c}",
        "(diga|diz|me diga|fale) o que (há|está|tem|aparece) {c}.",
        "(e|e o que está|agora|que tal) {c}",
        "{c}(, o que há|, o que tem|: o que é|, o que você vê)",
        "{c}",
        "(olhe|veja|olha) {c}(: o que há|, o que é|: o que tem).",
        "(pode|poderia|consegue) (me dizer|dizer) o que (está|há|tem) {c}",
        "(nomeie|identifique) (o objeto|a coisa|o que está) {c}.",
        "(há|tem|está) o quê {c}",
        "(qual é|qual) (o objeto|a coisa|o desenho) {c}",
        "o que (foi colocado|foi desenhado|está desenhado|se encontra) {c}",
        "(sabe|você sabe) o que (está|há|tem) {c}",
    ],
    right_of: &[
        "o que (há|está|tem|fica|aparece) (à direita|do lado direito|ao lado direito|à direita ali) {do}",
        "o que (você vê|vês|dá para ver|está vendo) (à direita|do lado direito) {do}",
        "(que|qual) (coisa|objeto|figura) (está|fica|há|aparece) (à direita|do lado direito) {do}",
        "(à direita|do lado direito) {do}(, o que há|, o que tem|: o que é|, o que está)",
        "(à direita|do lado direito) {do}",
        "{o} tem o que (à direita|do lado direito|à sua direita)",
        "{o}(, o que há à direita|, e à direita|: à direita)",
        "(diga|diz|me diga) o que (está|há|tem) (à direita|do lado direito) {do}.",
        "(pode|poderia|consegue) (me dizer|dizer) o que está (à direita|do lado direito) {do}",
        "o que (há|está|tem) à direita de {q}",
        "o que você vê à direita de {q}",
        "(nomeie|identifique) (o objeto|a coisa|o que está) (à direita|do lado direito) {do}.",
        "(qual é|qual|quem é) o vizinho (da|à|pela) direita {do}",
        "(há|tem|está) o quê (à direita|do lado direito) {do}",
        "o que vem (logo |)(à direita|do lado direito) {do}",
    ],
    above: &[
        "o que (há|está|tem|fica|aparece) (acima|em cima|por cima) {do}",
        "o que (você vê|vês|dá para ver|está vendo) (acima|em cima|por cima) {do}",
        "(que|qual) (coisa|objeto|figura) (está|fica|há|aparece) (acima|em cima|por cima) {do}",
        "(acima|em cima|por cima) {do}(, o que há|, o que tem|: o que é|, o que está)",
        "(acima|em cima|por cima) {do}",
        "{o} tem o que (acima|em cima|por cima)",
        "{o}(, o que há acima|, e acima|: acima|, e em cima)",
        "(diga|diz|me diga) o que (está|há|tem) (acima|em cima) {do}.",
        "(pode|poderia|consegue) (me dizer|dizer) o que está (acima|em cima) {do}",
        "o que (há|está|tem) (acima|em cima) de {q}",
        "o que você vê (acima|em cima) de {q}",
        "(nomeie|identifique) (o objeto|a coisa|o que está) (acima|em cima) {do}.",
        "(qual é|qual|quem é) o vizinho (de cima|acima) {do}",
        "(há|tem|está) o quê (acima|em cima) {do}",
        "o que (fica|está) mais (acima|para cima) (que|do que) {o}",
    ],
    describe: &[
        "(descreva|descreve|descrever) (a imagem|esta imagem|essa imagem|a figura|a foto|isto|isso|a cena).",
        "(descreva|descreve) (o que você vê|o que há na imagem|o que aparece|tudo).",
        "(faça|faz|escreva|me dê|dê) uma (descrição|legenda) (|da imagem|curta|da figura|disto).",
        "(descrição|legenda)( da imagem|| da figura|, por favor).",
        "(me fale|fale|fala|conte|conta) (sobre a imagem|da imagem|sobre esta imagem|sobre a figura).",
        "(pode|poderia|consegue|você pode) descrever (a imagem|isto|isso|o que vê|a figura)",
        "como (você descreveria|descreverias|se descreve) (a imagem|isto|isso|esta figura)",
        "como é (a imagem|esta imagem|a figura|essa foto)",
        "(explique|explica) (a imagem|esta imagem|a figura|a foto).",
        "(diga|me diga|diz) tudo (o que vê|que você vê|o que há na imagem|o que aparece).",
        "(liste|enumere) (tudo|todas as coisas|os objetos) (|da imagem|que você vê|na imagem).",
        "(o que|cada coisa) está onde (|na imagem)",
        "(queria|quero|gostaria de) uma (descrição|legenda) (|da imagem|disto).",
        "(ponha|coloque) (a imagem|isto|o que vê) em palavras.",
        "(leia|narre) a (imagem|figura|cena) (|para mim).",
    ],
    outside: &[
        "(oi|olá|ei|bom dia|boa tarde|boa noite|e aí)",
        "(quem é você|quem és tu|qual é o seu nome|como você se chama|quantos anos você tem|você é um robô)",
        "(tudo bem|como vai|como você está|como estás|beleza)",
        "qual é a capital (da França|do Japão|do Brasil|da Turquia|da Rússia|do Egito|da China)",
        "quem (é|foi) (o presidente|Einstein|Napoleão|o rei da Espanha|Pelé)",
        "quanto é (dois mais dois|2+2|cinco vezes sete|dez menos três|a raiz de 16)",
        "(me conte|conte|conta) uma (piada|história|fábula).",
        "(escreva|faça|escreve) (um poema|uma redação|uma carta|um código|uma música).",
        "(traduza|traduz) (isto|isso|a frase) (para o|em) (francês|alemão|espanhol|japonês).",
        "quem (desenhou|pintou|fez|tirou|mandou) (isto|isso|a imagem|esta foto)",
        "(onde|quando) (isto foi feito|foi tirada a foto|a foto foi tirada|isso foi desenhado)",
        "(que horas são|que dia é hoje|em que ano estamos)",
        "(como está o tempo|vai chover|faz frio) (hoje|amanhã|agora)",
        "quanto (custa|pesa|vale|mede) (isto|isso|ele|ela)",
        "(quantos anos tem|qual é a idade|qual é a altura|qual é o peso) (disto|disso|dele|isso)",
        "(de que|do que) (isto|isso|ele) é feito",
        "para que (serve|é usado|se usa) (isto|isso)",
        "o que (ele|ela|isso) (come|faz|sente|diz)",
        "(por que|como) (isto está aqui|isso funciona|isso foi parar aí|isso aconteceu)",
        "(isto|isso|ele) é (perigoso|feliz|caro|vivo|pesado|gostoso|triste)",
        "você (gosta|tem medo|precisa) (disto|disso|dele|de mim)",
        "onde (posso comprar|compro|encontro|se vende) (isto|isso|um desses)",
        "como (eu |)(instalo o Linux|cozinho arroz|aprendo inglês|chego à estação|conserto o carro)",
        "o que (aconteceu|vai acontecer|vem) (antes|depois|em seguida)",
        "(obrigado|obrigada|tchau|valeu|ok|socorro|ajuda|até logo)",
        "qual é (o preço do ouro|o sentido da vida|o carro mais rápido|a montanha mais alta|o maior rio)",
    ],
    corners: [
        "(no canto superior esquerdo|em cima à esquerda|no alto à esquerda|à esquerda em cima|na parte de cima à esquerda|no topo à esquerda|acima à esquerda)",
        "(no canto superior direito|em cima à direita|no alto à direita|à direita em cima|na parte de cima à direita|no topo à direita|acima à direita)",
        "(no canto inferior esquerdo|embaixo à esquerda|em baixo à esquerda|à esquerda embaixo|na parte de baixo à esquerda|abaixo à esquerda)",
        "(no canto inferior direito|embaixo à direita|em baixo à direita|à direita embaixo|na parte de baixo à direita|abaixo à direita)",
    ],
    kinds: [
        "animal",
        "planta",
        "comida",
        "bebida",
        "veículo",
        "lugar",
        "",
        "esporte",
        "roupa",
        "instrumento",
        "objeto",
    ],
    synonyms: &[
        ("cachorro", &["cão"]),
        ("camundongo", &["rato"]),
        ("pomba branca", &["pomba"]),
        ("caracol", &["caramujo"]),
        ("maçã vermelha", &["maçã"]),
        ("folhas caídas", &["folhas"]),
        ("abacaxi", &["ananás"]),
        ("sorvete", &["gelado"]),
        ("carro", &["automóvel"]),
        ("motocicleta", &["moto"]),
        ("bicicleta", &["bike"]),
        ("lua crescente", &["lua"]),
        ("telefone celular", &["celular", "telefone"]),
        ("laptop", &["computador", "notebook"]),
        ("televisão", &["TV"]),
        ("livro aberto", &["livro"]),
        ("guarda-chuva", &["sombrinha"]),
        ("pedra preciosa", &["joia"]),
        ("batata frita", &["fritas"]),
    ],
    form,
    surface: Surface {
        quotes: &[["“", "”"], ["\"", "\""], ["«", "»"], ["'", "'"], ["‘", "’"]],
        stop: ".",
        marks: &["?", "??", " ?", ".", "!", "?!", "...", "？"],
        openings: &[
            "oi, ",
            "olá, ",
            "por favor, ",
            "bom dia, ",
            "ei, ",
            "então, ",
            "desculpe, ",
            "olá! ",
            "uma pergunta: ",
            "com licença, ",
            "e aí, ",
            "me diga, ",
            "agora, ",
        ],
        closings: &[" por favor", ", por favor", " obrigado", ", obrigada", ", sabe", " pfv", " hein"],
        hasty,
    },
    unknown: "Não sei dizer: só conheço desenhos de coisas.",
    outside_answer: "Não sei responder, só dizer o que o desenho mostra, onde, quantos e em que cor.",
};

/// Without accents.
fn hasty(text: &str) -> String {
    const PLAIN: [(char, &str); 13] = [
        ('á', "a"),
        ('à', "a"),
        ('â', "a"),
        ('ã', "a"),
        ('é', "e"),
        ('ê', "e"),
        ('í', "i"),
        ('ó', "o"),
        ('ô', "o"),
        ('õ', "o"),
        ('ú', "u"),
        ('ç', "c"),
        ('É', "E"),
    ];
    transcribed(text, &PLAIN)
}

const MASCULINE: &str = "macaco|cachorro|cão|gato|tigre|cavalo|cervo|porco|elefante|rinoceronte|camundongo|rato|coelho|\
    morcego|coala|galo|pinguim|pato|sapo|crocodilo|dragão|golfinho|peixe|tubarão|polvo|caranguejo|caracol|caramujo|\
    escorpião|buquê|girassol|cacto|trevo|cogumelo|limão|abacaxi|ananás|morango|tomate|abacate|pão|croissant|queijo|\
    hambúrguer|ovo|sushi|sorvete|gelado|pirulito|vinho|vulcão|hospital|castelo|ônibus|carro|automóvel|trator|navio|avião|\
    helicóptero|satélite|foguete|sol|arco-íris|guarda-chuva|fogo|balão|presente|troféu|tênis|boliche|pingue-pongue|esqui|\
    videogame|jeans|vestido|anel|microfone|rádio|saxofone|trompete|violino|tambor|telefone celular|celular|telefone|\
    laptop|computador|notebook|livro aberto|livro|envelope|pacote|lápis|martelo|escudo|microscópio|telescópio|comprimido|\
    vaso sanitário";

const FEMININE: &str = "vaca|ovelha|pomba branca|pomba|águia|coruja|tartaruga|cobra|baleia|borboleta|formiga|\
    abelha|joaninha|aranha|rosa|tulipa|palmeira|melancia|banana|maçã vermelha|maçã|pera|cereja|berinjela|cenoura|\
    batata frita|pizza|pipoca|cerveja|colher|casa|igreja|mesquita|fonte|barraca|roda gigante|locomotiva|motocicleta|moto|\
    bicicleta|bike|âncora|lua crescente|lua|nuvem|gota|onda|gravata|mochila|coroa|cartola|\
    pedra preciosa|joia|guitarra|televisão|TV|câmera|vela|lâmpada|tesoura|chave|bomba|chave inglesa|engrenagem|seringa|\
    porta|cama|banheira|sombrinha";

/// Names that are plural already, with their article.
const PLURAL_ONLY: [(&str, &str); 5] =
    [("folhas caídas", "as"), ("folhas", "as"), ("uvas", "as"), ("óculos", "os"), ("fritas", "as")];

/// `um` um gato, `o` o gato, `do` do gato, `s` gatos, `os` os gatos, `quantos`
/// quantos gatos.
fn form(name: &str, form: &str) -> Option<String> {
    let among = |names: &str| names.split('|').any(|other| other == name);
    if let Some((_, article)) = PLURAL_ONLY.iter().find(|(plural, _)| *plural == name) {
        return match form {
            "um" | "s" => Some(name.to_owned()),
            "quantos" => Some(format!("quant{article} {name}")),
            "o" | "os" => Some(format!("{article} {name}")),
            "do" => Some(format!("d{article} {name}")),
            _ => None,
        };
    }
    let [one, the, of, all] = if among(MASCULINE) {
        ["um", "o", "do", "os"]
    } else if among(FEMININE) {
        ["uma", "a", "da", "as"]
    } else {
        return None;
    };
    match form {
        "um" => Some(format!("{one} {name}")),
        "o" => Some(format!("{the} {name}")),
        "do" => Some(format!("{of} {name}")),
        "s" => Some(plural_of(name)),
        "quantos" => Some(format!("quant{all} {}", plural_of(name))),
        "os" => Some(format!("{all} {}", plural_of(name))),
        _ => None,
    }
}

fn plural_of(name: &str) -> String {
    let word = |word: &str| match word {
        "ônibus" | "arco-íris" | "tênis" | "lápis" | "jeans" => word.to_owned(),
        "cão" => "cães".into(),
        "pão" => "pães".into(),
        "ananás" => "ananases".into(),
        "anel" => "anéis".into(),
        "sol" => "sóis".into(),
        "girassol" => "girassóis".into(),
        "caracol" => "caracóis".into(),
        _ => {
            let swap = |end: &str, with: &str| word.strip_suffix(end).map(|stem| format!("{stem}{with}"));
            swap("ão", "ões")
                .or_else(|| swap("al", "ais"))
                .or_else(|| swap("m", "ns"))
                .or_else(|| word.ends_with(['r', 'z']).then(|| format!("{word}es")))
                .unwrap_or_else(|| format!("{word}s"))
        }
    };
    name.split(' ').map(word).collect::<Vec<_>>().join(" ")
}
