//! Portuguese names: their gender, their plural, and what people call the thing beside its name in the catalogue; the
//! words for colours and kinds of things.

use crate::catalogue::Category;
use crate::colour::Colour;

/// An article, a name, after `|` the plural that the rules do not give. The article says how the name is used: `um` and
/// `uma` things are counted, `o` and `a` are matter, sports or the only one of its kind, `os` and `as` plural already.
const NAMES: &str = "um macaco
um cachorro
um cão|cães
um cachorrinho
um gato
um tigre
um cavalo
um cervo
um veado
uma vaca
um porco
uma ovelha
um elefante
um rinoceronte
um camundongo
um ratinho
um coelho
um coelhinho
um morcego
um coala
um koala
um galo
um pinguim
uma pomba branca
uma pomba
um pombo
uma águia
um pato
uma coruja
um mocho
um sapo
uma rã
um crocodilo
um jacaré
uma tartaruga
uma cobra
uma serpente
um dragão
uma baleia
um golfinho
um boto
um peixe
um tubarão
um polvo
um caranguejo
um siri
um caracol
uma borboleta
uma formiga
uma abelha
uma joaninha
uma aranha
um escorpião
um lacrau
um buquê
um buquê de flores
um ramo de flores
um ramalhete
uma rosa
uma rosa vermelha
um girassol
uma tulipa
uma palmeira
um coqueiro
um cacto
um cactus
um trevo
um trevo de três folhas
as folhas caídas
as folhas
as folhas secas
as folhas de outono
um cogumelo
as uvas
um cacho de uvas
uma uva
uma melancia
um limão
um limão-siciliano|limões-sicilianos
um limão amarelo
uma banana
um abacaxi
um ananás|ananases
uma maçã vermelha
uma maçã
uma pera
uma cereja
as cerejas
um morango
um tomate
um abacate
uma berinjela
uma beringela
uma cenoura
um pão|pães
um pão de forma|pães de forma
um croissant
um queijo
um pedaço de queijo
uma fatia de queijo
um hambúrguer
um cheeseburger|cheeseburgers
uma batata frita
as fritas
as batatas fritas
uma pizza
uma fatia de pizza
um pedaço de pizza
um ovo
uma pipoca
um balde de pipoca
as pipocas
um sushi
um sorvete
um gelado
uma taça de sorvete
um pirulito
um chupa-chupa
um vinho
uma taça de vinho
um copo de vinho
um vinho tinto
uma cerveja
uma caneca de cerveja
um chope
uma colher
um vulcão
uma casa
um hospital
um castelo
uma igreja
uma capela
uma mesquita
uma fonte
um chafariz
uma barraca
uma barraca de camping
uma tenda
uma roda gigante
uma roda-gigante|rodas-gigantes
uma locomotiva
uma maria-fumaça|marias-fumaça
um trem a vapor
um ônibus
um autocarro
um busão
um carro
um automóvel|automóveis
um trator
uma motocicleta
uma moto
uma mota
uma bicicleta
uma bike
uma âncora
um navio
um avião
um helicóptero
um satélite
um satélite artificial
um foguete
um foguetão
uma lua crescente
uma lua
uma meia-lua|meias-luas
um sol
uma nuvem
um arco-íris
um guarda-chuva
uma sombrinha
um chapéu de chuva
o fogo
uma chama
uma labareda
uma gota
uma gota de água
um pingo
uma onda
uma onda do mar
um balão
uma bexiga
um balão de festa
um presente
uma caixa de presente
uma prenda
um troféu
o tênis
uma bola de tênis
uma raquete de tênis
o boliche
o bowling
o pingue-pongue
o ping-pong
o tênis de mesa
uma raquete de pingue-pongue
um esqui
os esquis
um videogame
um controle de videogame
os óculos
os óculos de grau
uma gravata
um jeans
uma calça jeans
uma calça
as calças de ganga
um vestido
uma mochila
uma mochila escolar
uma coroa
uma coroa de rei
uma cartola
um chapéu de mágico
um anel
uma aliança
um anel de noivado
uma pedra preciosa
um diamante
um microfone
um mic
um rádio
um aparelho de rádio
um saxofone
um sax
um trompete
uma corneta
uma guitarra
uma guitarra elétrica
um violino
um tambor
um telefone celular
um celular
um telemóvel|telemóveis
um smartphone
um laptop
um computador
um notebook
um portátil|portáteis
uma televisão
uma TV
um televisor
uma câmera
uma máquina fotográfica
uma câmera fotográfica
uma vela
uma vela acesa
uma lâmpada
um livro aberto
um livro
um envelope
um envelope de carta
um pacote
uma caixa de papelão
uma encomenda
um lápis
uma tesoura
uma chave
um martelo
uma bomba
um escudo
uma chave inglesa
uma chave de boca
uma engrenagem
uma roda dentada
um microscópio
um telescópio
uma luneta
uma seringa
uma injeção
um comprimido
uma pílula
uma cápsula
uma porta
uma cama
um vaso sanitário
uma privada
uma sanita
uma banheira
um gorila
um orangotango
um cão-guia|cães-guia
um cachorro-guia|cachorros-guia
um poodle
um caniche
um guaxinim
um gato preto
um leopardo
uma onça
uma onça-pintada|onças-pintadas
um alce
um burro
um jumento
um jegue
um asno
uma zebra
um bisão
um bisonte
um boi
um touro
um búfalo-asiático|búfalos-asiáticos
um búfalo
um búfalo-d’água|búfalos-d’água
um javali
um porco-do-mato|porcos-do-mato
um porco selvagem
um carneiro
uma cabra
um bode
um cabrito
uma lhama
uma alpaca
uma girafa
um mamute
um hipopótamo
um rato
uma ratazana
um esquilo
um castor
um porco-espinho|porcos-espinhos
um ouriço
um ouriço-cacheiro|ouriços-cacheiros
uma preguiça
um bicho-preguiça|bichos-preguiça
uma lontra
um gambá
um cangambá
uma doninha-fedorenta|doninhas-fedorentas
um canguru
um texugo
as patas
as pegadas
as patinhas
as marcas de patas
um peru
uma galinha
um pássaro
um passarinho
um cisne
um dodô
uma pena
uma pluma
um flamingo
um pavão
um papagaio
uma arara
um louro
uma asa
um pássaro preto
um corvo
um melro
um ganso
uma fênix
uma ave fênix
um pássaro de fogo
uma lagartixa
um lagarto
um saurópode
um braquiossauro
um brontossauro
um dinossauro de pescoço comprido
um tiranossauro rex
um tiranossauro
um T-Rex
uma foca
um leão-marinho|leões-marinhos
um peixe tropical
um baiacu
um peixe-balão|peixes-balão
um caramujo
uma concha
uma concha do mar
um búzio
um coral
um recife de coral
uma água-viva|águas-vivas
uma medusa
uma alforreca
uma lagosta
um camarão
uma lula
uma ostra
uma ostra com pérola
um inseto
uma lagarta
uma taturana
um besouro
um escaravelho
um grilo
um gafanhoto
uma barata
um mosquito
um pernilongo
uma muriçoca
uma mosca
uma minhoca
um verme
um micróbio
um germe
uma bactéria
um vírus
uma flor branca
um lótus
uma flor de lótus
uma roseta
uma flor murcha
uma rosa murcha
um hibisco
uma flor de hibisco
uma flor
uma margarida
uma florzinha
um jacinto
uma flor de jacinto
uma erva
uma erva aromática
um ninho vazio
um ninho
um ninho de passarinho
um melão
uma tangerina
uma laranja
uma mexerica
uma bergamota
uma lima
um limão-taiti|limões-taiti
um limão verde
uma manga
uma maçã verde
um pêssego
os mirtilos
um mirtilo
um kiwi
uma azeitona
uma oliva
um coco
uma batata
uma batatinha
uma batata-inglesa|batatas-inglesas
uma pimenta
uma malagueta
uma pimenta vermelha
um pimentão
um pimento
um pepino
um brócolis
um brócoli
os brócolos
um alho
uma cabeça de alho
um dente de alho
uma cebola
um amendoim
os feijões
um feijão
os grãos de feijão
uma castanha
uma castanha portuguesa
o gengibre
uma raiz de gengibre|raízes de gengibre
uma vagem
uma ervilha
uma vagem de ervilha
um cogumelo marrom
um cogumelo castanho
um champignon
um pão sírio|pães sírios
um pão árabe|pães árabes
um pão pita|pães pita
um pretzel|pretzels
um bagel|bagels
as panquecas
uma panqueca
uma pilha de panquecas
um waffle
o bacon
o toucinho
uma fatia de bacon
um cachorro-quente|cachorros-quentes
um hot dog|hot dogs
um dogão
um sanduíche
um sanduba
uma sandes
um taco
um tamale
um tamal
um falafel|falafels
um fondue
uma salada verde
uma salada
um prato de salada
a manteiga
um tablete de manteiga
o sal
um saleiro
a comida enlatada
uma lata de comida
uma lata de conserva
um bentô
uma marmita japonesa
o arroz japonês
um onigiri
um bolinho de arroz
o arroz cozido
o arroz branco
uma tigela de arroz
um lámen
um ramen
um miojo
o macarrão instantâneo
o espaguete
uma macarronada
o esparguete
o oden
um camarão frito
um camarão empanado
um tempurá
um bolo lunar
um bolo da lua
um dango
um bolinho de mochi
um espetinho de mochi
um bolinho asiático
um guioza
um dumpling
um donut
uma rosquinha
um biscoito
uma bolacha
um cookie
um cupcake
um muffin
um queque
uma torta
uma tarte
um chocolate
uma barra de chocolate
um tablete de chocolate
uma bala
uma balinha
um rebuçado
um pudim
um pudim de leite
um flan
um café
uma xícara de café
um cafezinho
uma chávena de café
um bule
um bule de chá
uma chaleira
um saquê
uma garrafa de saquê
as taças brindando
um brinde
as taças de champanhe
um mate
um chimarrão
uma cuia de chimarrão
um tereré
um jarro
um pote
um pote de vidro
um frasco
uma ânfora
um vaso antigo
um vaso de barro
uma montanha
um morro
o Monte Fuji
um acampamento
um camping
um deserto
uma ilha deserta
uma ilha
um parque nacional
uma reserva florestal
uma reserva natural
um estádio
um estádio de futebol
uma arena
um prédio grego
um templo grego
um edifício clássico
uma construção
um canteiro de obras
um prédio em construção
um tijolo
os tijolos
uma pedra
uma rocha
um pedregulho
a madeira
uma tora
um tronco
a lenha
uma cabana
uma choupana
uma oca
as casas
as casinhas
um conjunto de casas
uma casa abandonada
uma casa em ruínas
uma casa mal-assombrada
um edifício comercial
um prédio comercial
um prédio de escritórios
um correio
uma agência dos correios
os correios
um banco
uma agência bancária
um hotel
uma escola
um colégio
uma fábrica
um castelo japonês
uma fortaleza japonesa
um templo hindu
um templo indiano
uma sinagoga
um templo judaico
um santuário japonês
um torii
um portal japonês
um templo xintoísta
a caaba islã
a Caaba
um escorregador
um escorrega
uma montanha russa
uma montanha-russa|montanhas-russas
uma barbearia
um poste de barbeiro
um poste de barbearia
um circo
uma tenda de circo
uma lona de circo
um trem
um comboio
um metrô
um trem do metrô
um metropolitano
uma estação
uma estação de trem
uma estação ferroviária
um bonde elétrico
um VLT
um bonde
um bondinho
um trólebus
um ônibus elétrico
uma van
um micro-ônibus
uma carrinha
uma viatura policial
um carro de polícia
um carro da polícia
uma viatura
um táxi
um caminhão
um camião
uma carreta
uma scooter|scooters
uma lambreta
uma motoneta
um automóvel riquixá|automóveis riquixá
um tuk-tuk
um riquixá
um skate
uma prancha de skate
uma estrada
uma rodovia
uma autoestrada
os trilhos
os trilhos do trem
uma ferrovia
uma linha de trem
uma roda
um pneu
uma boia
uma boia salva-vidas
uma canoa
um caiaque
uma lancha
uma lancha rápida
um cruzeiro
um navio de cruzeiro
um transatlântico
uma balsa
um ferry|ferries
um ferry-boat
uma barca
um barco
um barco a motor
um iate
um avião pequeno
um teco-teco
um aviãozinho|aviõezinhos
um avião decolando|aviões decolando
uma decolagem
um avião a descolar
um avião aterrissando|aviões aterrissando
um avião pousando|aviões pousando
uma aterrissagem
um avião a aterrar
um paraquedas
um assento
uma poltrona
um disco voador
um óvni
uma nave alienígena
um termômetro
um termómetro
uma estrela brilhante
uma estrela cintilante
uma estrela cadente
uma estrela-cadente|estrelas-cadentes
um tornado
um ciclone
um redemoinho
um guarda-chuva fechado
uma sombrinha fechada
um cometa
uma vela estrela|velas estrela
uma bombinha
um rojão
a dinamite
um petardo
os brilhos
os brilhinhos
um ingresso
um bilhete
uma medalha militar
uma condecoração
uma medalha esportiva
uma medalha de ouro
uma medalha desportiva
o softbol
uma bola de softbol
o softball
um frisbee
um disco de frisbee
o críquete
um taco de críquete
o cricket
o lacrosse
um taco de lacrosse
o badminton
uma peteca
uma raquete de badminton
um gol|gols
uma baliza
uma trave
uma rede de gol
um trenó
um ioiô
um io-iô
uma pipa
uma pandorga
um papagaio de papel
uma pistola d’água
uma pistola de água
uma arminha de água
uma varinha mágica
uma varinha de condão
uma varinha
um joystick
um manche
um caça-níquel|caça-níqueis
uma máquina caça-níquel|máquinas caça-níqueis
uma slot machine|slot machines
uma pinhata
uma piñata
uma boneca russa
uma matriosca
uma matrioska
um curinga
um coringa
um joker|jokers
uma máscara
uma máscara de teatro
as máscaras de teatro
um quadro emoldurado
um quadro
uma pintura
um carretel
um carretel de linha
uma linha de costura
um novelo
um novelo de lã
uma bola de lã
um nó
um nó de corda
os óculos escuros
os óculos de sol
um jaleco
um guarda-pó
um colete salva-vidas
um colete
um colete refletor
um colete de segurança
um cachecol
uma echarpe
as luvas
uma luva
um par de luvas
um casaco
uma jaqueta
um sobretudo
as meias
uma meia
um par de meias
as peúgas
um quimono
um kimono
um sari
uma cueca
uma sunga
as cuecas
um shorts
uma bermuda
um calção
os calções
um biquíni
as roupas femininas
uma blusa
uma blusinha
uma bolsinha
um porta-moedas
um porta-níqueis
uma bolsa pequena
uma carteira
uma clutch|clutches
um sapato masculino
um sapato social
um sapato de homem
uma sandália feminina
uma sandália
uma sandália de salto
um chapéu feminino
um chapéu de mulher
um chapéu de palha
um boné
um boné de beisebol
um capacete militar
um capacete
um capacete de soldado
um batom
uma partitura musical
uma partitura
uma pauta musical
uma nota musical
uma colcheia
as notas musicais
as notas de música
um acordeão
uma sanfona
uma concertina
um teclado musical
um piano
um banjo
um tambor comprido
um atabaque
uma conga
os maracás
as maracas
os chocalhos
uma flauta
uma flauta transversal
uma flauta doce
um telefone
um telefone fixo
um fax|faxes
um aparelho de fax
uma máquina de fax
uma pilha
uma tomada elétrica
uma tomada
um plugue
uma impressora
um teclado
um teclado de computador
um mouse
um mouse de computador
um trackball
um minidisc
um minidisco
um disquete
um ábaco
uma claquete
uma claquete de cinema
um videocassete
uma fita cassete|fitas cassete
uma fita de vídeo
um cassete
uma lanterna
uma lanterna de mão
um livro fechado
um livro vermelho
um livro verde
um livro azul
um livro laranja|livros laranja
os livros
uma pilha de livros
um caderno
um livro contábil|livros contábeis
um livro-razão|livros-razão
um pergaminho
um papiro
um jornal
um jornal enrolado
uma etiqueta
um rótulo
uma moeda
uma moeda de ouro
um recibo
uma nota fiscal
um cupom fiscal
um e-mail
um correio eletrônico
uma mensagem de e-mail
um envelope chegando|envelopes chegando
uma caneta tinteiro|canetas tinteiro
uma caneta-tinteiro|canetas-tinteiro
uma caneta de tinta permanente
uma caneta
uma caneta esferográfica
uma esferográfica
um pincel
um memorando
um bloco de notas
uma anotação
uma maleta
uma valise
uma pasta executiva
um calendário
uma folhinha
um calendário espiral
um calendário com espiral
uma tacha
uma tachinha
um pionés|pioneses
uma régua reta
uma régua triangular
um esquadro
um cadeado
um cadeado fechado
um cadeado aberto
uma chave antiga
um machado
uma machadinha
uma picareta
uma adaga
um punhal
um bumerangue
uma braçadeira
um torno
uma morsa
uma balança
uma balança de dois pratos
uma corrente quebrada
uma corrente partida
uma corrente arrebentada
as correntes
uma corrente de metal
uma corrente de ferro
um gancho
um ímã
um íman|ímanes
uma escada
uma escada de mão
um escadote
um alambique
um destilador
uma atadura adesiva
um curativo
um band-aid
um penso rápido
uma muleta
um estetoscópio
um elevador
um ascensor
um espelho
uma janela
uma cadeira
um desentupidor
um desentupidor de pia
um desentupidor de privada
um chuveiro
uma ducha
uma ratoeira
uma armadilha de rato
uma armadilha para ratos
uma lâmina
uma navalha
uma gilete
uma lâmina de barbear
uma vassoura
uma cesta
um cesto
um balde
um baldinho
um sabonete
um sabão
as bolhas
as bolhas de sabão
as bolinhas de sabão
uma esponja
uma bucha
um cigarro
um caixão
um ataúde
um esquife
uma lápide
um túmulo
uma sepultura
uma hamsá
uma mão de Fátima|mãos de Fátima
um moai
uma estátua da Ilha de Páscoa
uma placa
um cartaz
um letreiro
";

/// Of what there is but one; named with the article where others have none.
const UNIQUE: [&str; 3] = ["Monte Fuji", "caaba islã", "Caaba"];

/// What people call a thing whose name in the catalogue is another.
pub(super) const SYNONYMS: &[(&str, &[&str])] = &[
    ("livro aberto", &["livro"]),
    ("maçã vermelha", &["maçã"]),
    ("cachorro", &["cão", "cachorrinho"]),
    ("cervo", &["veado"]),
    ("camundongo", &["rato", "ratinho"]),
    ("coelho", &["coelhinho"]),
    ("coala", &["koala"]),
    ("pomba branca", &["pomba", "pombo"]),
    ("coruja", &["mocho"]),
    ("sapo", &["rã"]),
    ("crocodilo", &["jacaré"]),
    ("cobra", &["serpente"]),
    ("golfinho", &["boto"]),
    ("caranguejo", &["siri"]),
    ("escorpião", &["lacrau"]),
    ("buquê", &["buquê de flores", "ramo de flores", "ramalhete"]),
    ("rosa", &["rosa vermelha"]),
    ("palmeira", &["coqueiro"]),
    ("cacto", &["cactus"]),
    ("trevo", &["trevo de três folhas"]),
    ("folhas caídas", &["folhas", "folhas secas", "folhas de outono"]),
    ("uvas", &["cacho de uvas", "uva"]),
    ("limão", &["limão-siciliano", "limão amarelo"]),
    ("abacaxi", &["ananás"]),
    ("cereja", &["cerejas"]),
    ("berinjela", &["beringela"]),
    ("pão", &["pão de forma"]),
    ("queijo", &["pedaço de queijo", "fatia de queijo"]),
    ("hambúrguer", &["cheeseburger"]),
    ("batata frita", &["fritas", "batatas fritas"]),
    ("pizza", &["fatia de pizza", "pedaço de pizza"]),
    ("pipoca", &["balde de pipoca", "pipocas"]),
    ("sorvete", &["gelado", "taça de sorvete"]),
    ("pirulito", &["chupa-chupa"]),
    ("vinho", &["taça de vinho", "copo de vinho", "vinho tinto"]),
    ("cerveja", &["caneca de cerveja", "chope"]),
    ("igreja", &["capela"]),
    ("fonte", &["chafariz"]),
    ("barraca", &["barraca de camping", "tenda"]),
    ("roda gigante", &["roda-gigante"]),
    ("locomotiva", &["maria-fumaça", "trem a vapor"]),
    ("ônibus", &["autocarro", "busão"]),
    ("carro", &["automóvel"]),
    ("motocicleta", &["moto", "mota"]),
    ("bicicleta", &["bike"]),
    ("satélite", &["satélite artificial"]),
    ("foguete", &["foguetão"]),
    ("lua crescente", &["lua", "meia-lua"]),
    ("guarda-chuva", &["sombrinha", "chapéu de chuva"]),
    ("fogo", &["chama", "labareda"]),
    ("gota", &["gota de água", "pingo"]),
    ("onda", &["onda do mar"]),
    ("balão", &["bexiga", "balão de festa"]),
    ("presente", &["caixa de presente", "prenda"]),
    ("tênis", &["bola de tênis", "raquete de tênis"]),
    ("boliche", &["bowling"]),
    ("pingue-pongue", &["ping-pong", "tênis de mesa", "raquete de pingue-pongue"]),
    ("esqui", &["esquis"]),
    ("videogame", &["controle de videogame"]),
    ("óculos", &["óculos de grau"]),
    ("jeans", &["calça jeans", "calça", "calças de ganga"]),
    ("mochila", &["mochila escolar"]),
    ("coroa", &["coroa de rei"]),
    ("cartola", &["chapéu de mágico"]),
    ("anel", &["aliança", "anel de noivado"]),
    ("pedra preciosa", &["diamante"]),
    ("microfone", &["mic"]),
    ("rádio", &["aparelho de rádio"]),
    ("saxofone", &["sax"]),
    ("trompete", &["corneta"]),
    ("guitarra", &["guitarra elétrica"]),
    ("telefone celular", &["telefone", "celular", "telemóvel", "smartphone"]),
    ("laptop", &["computador", "notebook", "portátil"]),
    ("televisão", &["TV", "televisor"]),
    ("câmera", &["máquina fotográfica", "câmera fotográfica"]),
    ("vela", &["vela acesa"]),
    ("envelope", &["envelope de carta"]),
    ("pacote", &["caixa de papelão", "encomenda"]),
    ("chave inglesa", &["chave de boca"]),
    ("engrenagem", &["roda dentada"]),
    ("telescópio", &["luneta"]),
    ("seringa", &["injeção"]),
    ("comprimido", &["pílula", "cápsula"]),
    ("vaso sanitário", &["privada", "sanita"]),
    ("cão-guia", &["cachorro-guia"]),
    ("poodle", &["caniche"]),
    ("leopardo", &["onça", "onça-pintada"]),
    ("burro", &["jumento", "jegue", "asno"]),
    ("bisão", &["bisonte"]),
    ("boi", &["touro"]),
    ("búfalo-asiático", &["búfalo", "búfalo-d’água"]),
    ("javali", &["porco-do-mato", "porco selvagem"]),
    ("cabra", &["bode", "cabrito"]),
    ("lhama", &["alpaca"]),
    ("rato", &["ratazana"]),
    ("porco-espinho", &["ouriço", "ouriço-cacheiro"]),
    ("preguiça", &["bicho-preguiça"]),
    ("gambá", &["cangambá", "doninha-fedorenta"]),
    ("patas", &["pegadas", "patinhas", "marcas de patas"]),
    ("pássaro", &["passarinho"]),
    ("pena", &["pluma"]),
    ("papagaio", &["arara", "louro"]),
    ("pássaro preto", &["corvo", "melro"]),
    ("fênix", &["ave fênix", "pássaro de fogo"]),
    ("lagartixa", &["lagarto"]),
    ("saurópode", &["braquiossauro", "brontossauro", "dinossauro de pescoço comprido"]),
    ("tiranossauro rex", &["tiranossauro", "T-Rex"]),
    ("foca", &["leão-marinho"]),
    ("baiacu", &["peixe-balão"]),
    ("caramujo", &["concha", "concha do mar", "búzio"]),
    ("coral", &["recife de coral"]),
    ("água-viva", &["medusa", "alforreca"]),
    ("ostra", &["ostra com pérola"]),
    ("inseto", &["lagarta", "taturana"]),
    ("besouro", &["escaravelho"]),
    ("grilo", &["gafanhoto"]),
    ("mosquito", &["pernilongo", "muriçoca"]),
    ("minhoca", &["verme"]),
    ("micróbio", &["germe", "bactéria", "vírus"]),
    ("lótus", &["flor de lótus"]),
    ("flor murcha", &["rosa murcha"]),
    ("hibisco", &["flor de hibisco"]),
    ("flor", &["margarida", "florzinha"]),
    ("jacinto", &["flor de jacinto"]),
    ("erva", &["erva aromática"]),
    ("ninho vazio", &["ninho", "ninho de passarinho"]),
    ("tangerina", &["laranja", "mexerica", "bergamota"]),
    ("lima", &["limão-taiti", "limão verde"]),
    ("mirtilos", &["mirtilo"]),
    ("azeitona", &["oliva"]),
    ("batata", &["batatinha", "batata-inglesa"]),
    ("pimenta", &["malagueta", "pimenta vermelha"]),
    ("pimentão", &["pimento"]),
    ("brócolis", &["brócoli", "brócolos"]),
    ("alho", &["cabeça de alho", "dente de alho"]),
    ("feijões", &["feijão", "grãos de feijão"]),
    ("castanha", &["castanha portuguesa"]),
    ("gengibre", &["raiz de gengibre"]),
    ("vagem", &["ervilha", "vagem de ervilha"]),
    ("cogumelo marrom", &["cogumelo castanho", "champignon"]),
    ("pão sírio", &["pão árabe", "pão pita"]),
    ("panquecas", &["panqueca", "pilha de panquecas"]),
    ("bacon", &["toucinho", "fatia de bacon"]),
    ("cachorro-quente", &["hot dog", "dogão"]),
    ("sanduíche", &["sanduba", "sandes"]),
    ("tamale", &["tamal"]),
    ("salada verde", &["salada", "prato de salada"]),
    ("manteiga", &["tablete de manteiga"]),
    ("sal", &["saleiro"]),
    ("comida enlatada", &["lata de comida", "lata de conserva"]),
    ("bentô", &["marmita japonesa"]),
    ("arroz japonês", &["onigiri", "bolinho de arroz"]),
    ("arroz cozido", &["arroz branco", "tigela de arroz"]),
    ("lámen", &["ramen", "miojo", "macarrão instantâneo"]),
    ("espaguete", &["macarronada", "esparguete"]),
    ("camarão frito", &["camarão empanado", "tempurá"]),
    ("bolo lunar", &["bolo da lua"]),
    ("dango", &["bolinho de mochi", "espetinho de mochi"]),
    ("bolinho asiático", &["guioza", "dumpling"]),
    ("donut", &["rosquinha"]),
    ("biscoito", &["bolacha", "cookie"]),
    ("cupcake", &["muffin", "queque"]),
    ("torta", &["tarte"]),
    ("chocolate", &["barra de chocolate", "tablete de chocolate"]),
    ("bala", &["balinha", "rebuçado"]),
    ("pudim", &["pudim de leite", "flan"]),
    ("café", &["xícara de café", "cafezinho", "chávena de café"]),
    ("bule", &["bule de chá", "chaleira"]),
    ("saquê", &["garrafa de saquê"]),
    ("taças brindando", &["brinde", "taças de champanhe"]),
    ("mate", &["chimarrão", "cuia de chimarrão", "tereré"]),
    ("jarro", &["pote", "pote de vidro", "frasco"]),
    ("ânfora", &["vaso antigo", "vaso de barro"]),
    ("montanha", &["morro"]),
    ("acampamento", &["camping"]),
    ("ilha deserta", &["ilha"]),
    ("parque nacional", &["reserva florestal", "reserva natural"]),
    ("estádio", &["estádio de futebol", "arena"]),
    ("prédio grego", &["templo grego", "edifício clássico"]),
    ("construção", &["canteiro de obras", "prédio em construção"]),
    ("tijolo", &["tijolos"]),
    ("pedra", &["rocha", "pedregulho"]),
    ("madeira", &["tora", "tronco", "lenha"]),
    ("cabana", &["choupana", "oca"]),
    ("casas", &["casinhas", "conjunto de casas"]),
    ("casa abandonada", &["casa em ruínas", "casa mal-assombrada"]),
    ("edifício comercial", &["prédio comercial", "prédio de escritórios"]),
    ("correio", &["agência dos correios", "correios"]),
    ("banco", &["agência bancária"]),
    ("escola", &["colégio"]),
    ("castelo japonês", &["fortaleza japonesa"]),
    ("templo hindu", &["templo indiano"]),
    ("sinagoga", &["templo judaico"]),
    ("santuário japonês", &["torii", "portal japonês", "templo xintoísta"]),
    ("caaba islã", &["Caaba"]),
    ("escorregador", &["escorrega"]),
    ("montanha russa", &["montanha-russa"]),
    ("barbearia", &["poste de barbeiro", "poste de barbearia"]),
    ("circo", &["tenda de circo", "lona de circo"]),
    ("trem", &["comboio"]),
    ("metrô", &["trem do metrô", "metropolitano"]),
    ("estação", &["estação de trem", "estação ferroviária"]),
    ("bonde elétrico", &["VLT"]),
    ("bonde", &["bondinho"]),
    ("trólebus", &["ônibus elétrico"]),
    ("van", &["micro-ônibus", "carrinha"]),
    ("viatura policial", &["carro de polícia", "carro da polícia", "viatura"]),
    ("caminhão", &["camião", "carreta"]),
    ("scooter", &["lambreta", "motoneta"]),
    ("automóvel riquixá", &["tuk-tuk", "riquixá"]),
    ("skate", &["prancha de skate"]),
    ("estrada", &["rodovia", "autoestrada"]),
    ("trilhos", &["trilhos do trem", "ferrovia", "linha de trem"]),
    ("roda", &["pneu"]),
    ("boia", &["boia salva-vidas"]),
    ("canoa", &["caiaque"]),
    ("lancha", &["lancha rápida"]),
    ("cruzeiro", &["navio de cruzeiro", "transatlântico"]),
    ("balsa", &["ferry", "ferry-boat", "barca"]),
    ("barco", &["barco a motor", "iate"]),
    ("avião pequeno", &["teco-teco", "aviãozinho"]),
    ("avião decolando", &["decolagem", "avião a descolar"]),
    ("avião aterrissando", &["avião pousando", "aterrissagem", "avião a aterrar"]),
    ("assento", &["poltrona"]),
    ("disco voador", &["óvni", "nave alienígena"]),
    ("termômetro", &["termómetro"]),
    ("estrela brilhante", &["estrela cintilante"]),
    ("estrela cadente", &["estrela-cadente"]),
    ("ciclone", &["redemoinho"]),
    ("guarda-chuva fechado", &["sombrinha fechada"]),
    ("bombinha", &["rojão", "dinamite", "petardo"]),
    ("brilhos", &["brilhinhos"]),
    ("ingresso", &["bilhete"]),
    ("medalha militar", &["condecoração"]),
    ("medalha esportiva", &["medalha de ouro", "medalha desportiva"]),
    ("softbol", &["bola de softbol", "softball"]),
    ("frisbee", &["disco de frisbee"]),
    ("críquete", &["taco de críquete", "cricket"]),
    ("lacrosse", &["taco de lacrosse"]),
    ("badminton", &["peteca", "raquete de badminton"]),
    ("gol", &["baliza", "trave", "rede de gol"]),
    ("ioiô", &["io-iô"]),
    ("pipa", &["pandorga", "papagaio de papel"]),
    ("pistola d’água", &["pistola de água", "arminha de água"]),
    ("varinha mágica", &["varinha de condão", "varinha"]),
    ("joystick", &["manche"]),
    ("caça-níquel", &["máquina caça-níquel", "slot machine"]),
    ("pinhata", &["piñata"]),
    ("boneca russa", &["matriosca", "matrioska"]),
    ("curinga", &["coringa", "joker"]),
    ("máscara", &["máscara de teatro", "máscaras de teatro"]),
    ("quadro emoldurado", &["quadro", "pintura"]),
    ("carretel", &["carretel de linha", "linha de costura"]),
    ("novelo", &["novelo de lã", "bola de lã"]),
    ("nó", &["nó de corda"]),
    ("óculos escuros", &["óculos de sol"]),
    ("jaleco", &["guarda-pó"]),
    ("colete salva-vidas", &["colete", "colete refletor", "colete de segurança"]),
    ("cachecol", &["echarpe"]),
    ("luvas", &["luva", "par de luvas"]),
    ("casaco", &["jaqueta", "sobretudo"]),
    ("meias", &["meia", "par de meias", "peúgas"]),
    ("quimono", &["kimono"]),
    ("cueca", &["sunga", "cuecas"]),
    ("shorts", &["bermuda", "calção", "calções"]),
    ("roupas femininas", &["blusa", "blusinha"]),
    ("bolsinha", &["porta-moedas", "porta-níqueis"]),
    ("bolsa pequena", &["carteira", "clutch"]),
    ("sapato masculino", &["sapato social", "sapato de homem"]),
    ("sandália feminina", &["sandália", "sandália de salto"]),
    ("chapéu feminino", &["chapéu de mulher", "chapéu de palha"]),
    ("boné", &["boné de beisebol"]),
    ("capacete militar", &["capacete", "capacete de soldado"]),
    ("partitura musical", &["partitura", "pauta musical"]),
    ("nota musical", &["colcheia"]),
    ("notas musicais", &["notas de música"]),
    ("acordeão", &["sanfona", "concertina"]),
    ("teclado musical", &["piano"]),
    ("tambor comprido", &["atabaque", "conga"]),
    ("maracás", &["maracas", "chocalhos"]),
    ("flauta", &["flauta transversal", "flauta doce"]),
    ("telefone", &["telefone fixo"]),
    ("fax", &["aparelho de fax", "máquina de fax"]),
    ("tomada elétrica", &["tomada", "plugue"]),
    ("teclado", &["teclado de computador"]),
    ("mouse", &["mouse de computador"]),
    ("minidisc", &["minidisco"]),
    ("claquete", &["claquete de cinema"]),
    ("videocassete", &["fita cassete", "fita de vídeo", "cassete"]),
    ("lanterna", &["lanterna de mão"]),
    ("livro fechado", &["livro vermelho"]),
    ("livros", &["pilha de livros"]),
    ("livro contábil", &["livro-razão"]),
    ("pergaminho", &["papiro"]),
    ("etiqueta", &["rótulo"]),
    ("moeda", &["moeda de ouro"]),
    ("recibo", &["nota fiscal", "cupom fiscal"]),
    ("e-mail", &["correio eletrônico", "mensagem de e-mail"]),
    ("caneta tinteiro", &["caneta-tinteiro", "caneta de tinta permanente"]),
    ("caneta", &["caneta esferográfica", "esferográfica"]),
    ("memorando", &["bloco de notas", "anotação"]),
    ("maleta", &["valise", "pasta executiva"]),
    ("calendário", &["folhinha"]),
    ("calendário espiral", &["calendário com espiral"]),
    ("tacha", &["tachinha", "pionés"]),
    ("régua triangular", &["esquadro"]),
    ("cadeado", &["cadeado fechado"]),
    ("machado", &["machadinha"]),
    ("adaga", &["punhal"]),
    ("braçadeira", &["torno", "morsa"]),
    ("balança", &["balança de dois pratos"]),
    ("corrente quebrada", &["corrente partida", "corrente arrebentada"]),
    ("correntes", &["corrente de metal", "corrente de ferro"]),
    ("ímã", &["íman"]),
    ("escada", &["escada de mão", "escadote"]),
    ("alambique", &["destilador"]),
    ("atadura adesiva", &["curativo", "band-aid", "penso rápido"]),
    ("elevador", &["ascensor"]),
    ("desentupidor", &["desentupidor de pia", "desentupidor de privada"]),
    ("chuveiro", &["ducha"]),
    ("ratoeira", &["armadilha de rato", "armadilha para ratos"]),
    ("lâmina", &["navalha", "gilete", "lâmina de barbear"]),
    ("cesta", &["cesto"]),
    ("balde", &["baldinho"]),
    ("sabonete", &["sabão"]),
    ("bolhas", &["bolhas de sabão", "bolinhas de sabão"]),
    ("esponja", &["bucha"]),
    ("caixão", &["ataúde", "esquife"]),
    ("lápide", &["túmulo", "sepultura"]),
    ("hamsá", &["mão de Fátima"]),
    ("moai", &["estátua da Ilha de Páscoa"]),
    ("placa", &["cartaz", "letreiro"]),
];

/// `um` um gato, `algum` algum gato, `o` o gato, `do` do gato, `s` gatos, `os` os gatos, `quantos` quantos gatos. Among
/// these may stand words that agree with the name: in number (`o está/estão`: o gato está, as uvas estão) or in gender
/// (`s, quantos~quantas`: gatos, quantos).
pub(super) fn form(name: &str, form: &str) -> Option<String> {
    let (article, plural) = NAMES.lines().find_map(|row| {
        let (article, names) = row.split_once(' ')?;
        let (singular, plural) = names.split_once('|').unwrap_or((names, ""));
        (singular == name).then_some((article, plural))
    })?;
    let alone = !form.contains(' ');
    let word = |word: &str| {
        let (word, comma) = word.strip_suffix(',').map_or((word, ""), |word| (word, ","));
        let text = if let Some((one, many)) = word.split_once('/') {
            Some(if article.ends_with('s') { many } else { one }.to_owned())
        } else if let Some((masculine, feminine)) = word.split_once('~') {
            Some(if article.contains('a') { feminine } else { masculine }.to_owned())
        } else {
            match word {
                "um" | "algum" | "o" | "do" => with_article(name, article, word),
                "s" | "os" | "quantos" => with_plural(name, article, plural, word),
                _ => (!alone).then(|| word.to_owned()),
            }
        };
        text.map(|text| text + comma)
    };
    form.split(' ').map(word).collect::<Option<Vec<_>>>().map(|words| words.join(" "))
}

/// The name as it is, behind an article.
fn with_article(name: &str, article: &str, form: &str) -> Option<String> {
    let the = match article {
        "um" => "o",
        "uma" => "a",
        other => other,
    };
    let unique = UNIQUE.contains(&name);
    match form {
        "um" if article == the && !unique => Some(name.to_owned()),
        "um" => Some(format!("{article} {name}")),
        "algum" if unique => None,
        "algum" => match article {
            "um" | "uma" => Some(format!("alg{article} {name}")),
            "os" => Some(format!("alguns {name}")),
            "as" => Some(format!("algumas {name}")),
            _ => None,
        },
        "o" => Some(format!("{the} {name}")),
        _ => Some(format!("d{the} {name}")),
    }
}

/// The plural of the name; matter and sports have none.
fn with_plural(name: &str, article: &str, plural: &str, form: &str) -> Option<String> {
    let many = match article {
        "os" | "as" => name.to_owned(),
        "o" | "a" => return None,
        _ if plural.is_empty() => plural_of(name),
        _ => plural.to_owned(),
    };
    let ending = if article.contains('a') { "as" } else { "os" };
    match form {
        "s" => Some(many),
        "os" => Some(format!("{ending} {many}")),
        _ => Some(format!("quant{ending} {many}")),
    }
}

/// `col` goes with `fundo` and `quadrado` or stands alone (`no vermelho`), `cola` goes with `parte`; `col2` and `cola2`
/// are what people say as well, in Portugal above all, `col3` what else they say, `coldim` is fond (`no azulzinho`).
pub(super) fn colour_form(colour: Colour, form: &str) -> Option<String> {
    let [col, cola, col2, cola2, col3, coldim] = match colour {
        Colour::Red => ["vermelho", "vermelha", "encarnado", "encarnada", "vermelho", "vermelhinho"],
        Colour::Orange => ["laranja", "laranja", "alaranjado", "alaranjada", "cor de laranja", "laranjinha"],
        Colour::Yellow => ["amarelo", "amarela", "amarelo", "amarela", "amarelo", "amarelinho"],
        Colour::Green => ["verde", "verde", "verde", "verde", "verde", "verdinho"],
        Colour::Blue => ["azul", "azul", "azul", "azul", "azul", "azulzinho"],
        Colour::Purple => ["roxo", "roxa", "violeta", "violeta", "lilás", "roxinho"],
        Colour::Pink => ["rosa", "rosa", "cor-de-rosa", "cor-de-rosa", "cor de rosa", "rosinha"],
        Colour::Gray => ["cinza", "cinza", "cinzento", "cinzenta", "cinza", "cinzinha"],
    };
    let word = match form {
        "col" => col,
        "cola" => cola,
        "col2" => col2,
        "cola2" => cola2,
        "col3" => col3,
        "coldim" => coldim,
        _ => return None,
    };
    Some(word.to_owned())
}

/// `kind` an animal, `kindany` some animal, `kinds` animals, `kindn` animal, `kindbare` the word for the whole kind; with a
/// `b` what people say as well: `kindb` a critter, `kindbany`, `kindbs`, `kindbbare`.
pub(super) fn kind_form(kind: Category, form: &str) -> Option<String> {
    const FORMS: [&str; 9] =
        ["kind", "kindany", "kinds", "kindn", "kindbare", "kindb", "kindbany", "kindbs", "kindbbare"];
    let words = match kind {
        Category::Animal => [
            "um animal",
            "algum animal",
            "animais",
            "animal",
            "animal",
            "um bicho",
            "algum bicho",
            "bichos",
            "bicho",
        ],
        Category::Plant => [
            "uma planta",
            "alguma planta",
            "plantas",
            "planta",
            "planta",
            "uma flor ou planta",
            "alguma flor ou planta",
            "flores ou plantas",
            "flor ou planta",
        ],
        Category::Food => [
            "comida",
            "alguma comida",
            "alimentos",
            "comida",
            "comida",
            "algo para comer",
            "alguma coisa de comer",
            "coisas de comer",
            "coisa de comer",
        ],
        Category::Drink => [
            "uma bebida",
            "alguma bebida",
            "bebidas",
            "bebida",
            "bebida",
            "algo para beber",
            "alguma coisa de beber",
            "coisas de beber",
            "coisa de beber",
        ],
        Category::Vehicle => [
            "um veículo",
            "algum veículo",
            "veículos",
            "veículo",
            "veículo",
            "um meio de transporte",
            "algum meio de transporte",
            "meios de transporte",
            "meio de transporte",
        ],
        Category::Place => [
            "um prédio ou lugar",
            "algum prédio ou lugar",
            "prédios ou lugares",
            "prédio ou lugar",
            "lugar",
            "um lugar",
            "algum lugar",
            "lugares",
            "lugar ou edifício",
        ],
        Category::Clothing => [
            "uma roupa",
            "alguma roupa",
            "roupas",
            "roupa",
            "roupa",
            "algo para vestir",
            "alguma peça de roupa",
            "peças de roupa",
            "coisa de vestir",
        ],
        Category::Music => [
            "um instrumento musical",
            "algum instrumento musical",
            "instrumentos musicais",
            "instrumento musical",
            "instrumento musical",
            "um instrumento",
            "algum instrumento",
            "instrumentos",
            "instrumento",
        ],
        Category::Nature | Category::Sport | Category::Object => return None,
    };
    let at = FORMS.iter().position(|known| *known == form)?;
    Some(words[at].to_owned())
}

/// Every word up to the first preposition in the plural.
fn plural_of(name: &str) -> String {
    const PREPOSITIONS: [&str; 9] =
        [" de ", " da ", " do ", " dos ", " a ", " com ", " em ", " para ", " d’"];
    const ENDINGS: [(&str, &str); 7] = [
        ("ão", "ões"),
        ("al", "ais"),
        ("el", "éis"),
        ("ol", "óis"),
        ("ul", "uis"),
        ("m", "ns"),
        ("ês", "eses"),
    ];
    let end = PREPOSITIONS.iter().filter_map(|word| name.find(*word)).min().unwrap_or(name.len());
    let word = |word: &str| {
        let swapped = |(end, with): &(&str, &str)| Some(format!("{}{with}", word.strip_suffix(*end)?));
        ENDINGS.iter().find_map(swapped).unwrap_or_else(|| {
            let added = match word.chars().last() {
                Some('r' | 'z') => "es",
                Some('s' | 'x') => "",
                _ => "s",
            };
            format!("{word}{added}")
        })
    };
    name[..end].split(' ').map(word).collect::<Vec<_>>().join(" ") + &name[end..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_noun_and_its_adjectives_are_inflected() {
        for (name, plural) in [
            ("copo de vinho", "copos de vinho"),
            ("nota fiscal", "notas fiscais"),
            ("caracol", "caracóis"),
            ("livro azul", "livros azuis"),
            ("pão de forma", "pães de forma"),
            ("guarda-chuva fechado", "guarda-chuvas fechados"),
            ("cachorro-quente", "cachorros-quentes"),
            ("pistola d’água", "pistolas d’água"),
            ("lápis", "lápis"),
            ("óculos", "óculos"),
        ] {
            assert_eq!(form(name, "s").as_deref(), Some(plural));
        }
        assert_eq!(form("sal", "s"), None);
    }

    #[test]
    fn an_article_is_put_where_the_name_has_one() {
        for (name, any, of) in [
            ("zebra", "uma zebra", "da zebra"),
            ("sal", "sal", "do sal"),
            ("luvas", "luvas", "das luvas"),
            ("Monte Fuji", "o Monte Fuji", "do Monte Fuji"),
        ] {
            assert_eq!(form(name, "um").as_deref(), Some(any));
            assert_eq!(form(name, "do").as_deref(), Some(of));
        }
    }

    #[test]
    fn what_stands_by_a_name_agrees_with_it() {
        for (name, pattern, text) in [
            ("gato", "o está/estão", "o gato está"),
            ("uvas", "o está/estão", "as uvas estão"),
            ("uvas", "é/são mesmo um", "são mesmo uvas"),
            ("gato", "s, quantos~quantas são", "gatos, quantos são"),
            ("vaca", "s, quantos~quantas são", "vacas, quantas são"),
            ("vaca", "algum", "alguma vaca"),
            ("óculos", "algum", "alguns óculos"),
        ] {
            assert_eq!(form(name, pattern).as_deref(), Some(text));
        }
        assert_eq!(form("sal", "algum"), None);
        assert_eq!(form("gato", "gen"), None);
    }

    #[test]
    fn colours_and_kinds_have_their_forms() {
        for colour in Colour::ALL {
            for slot in ["col", "cola", "col2", "cola2", "col3", "coldim"] {
                assert!(colour_form(colour, slot).is_some(), "{colour:?} {slot}");
            }
        }
        assert_eq!(kind_form(Category::Animal, "kinds").as_deref(), Some("animais"));
        assert_eq!(kind_form(Category::Food, "kindb").as_deref(), Some("algo para comer"));
        assert_eq!(kind_form(Category::Object, "kind"), None);
    }
}
